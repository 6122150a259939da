import Gateway
import Loop
import Testing
import Time

@Suite struct FairTurnsTests {
  private final class Order {
    var seen: [Int] = []
  }

  private final class Member: TurnMember {
    let number: Int
    let order: Order

    init(_ number: Int, _ order: Order) {
      self.number = number
      self.order = order
    }

    func turnCame() { order.seen.append(number) }
  }

  @Test func `long work comes in shares, in order, and others have their turn between them`() throws {
    let loop = try EventLoop()
    let order = Order()
    let turns = FairTurns(loop: loop)
    for number in 1...12 { turns.append(Member(number, order)) }
    let bound = LoopBound(order, loop: loop)
    let end = LoopBound(loop, loop: loop)
    loop.mailbox.post { bound.value.seen.append(0) }
    let timer = Timer(loop: loop) { end.value.stop() }
    timer.schedule(after: .milliseconds(200))
    loop.run()
    #expect(order.seen == [1, 2, 3, 4, 0, 5, 6, 7, 8, 9, 10, 11, 12])
  }
}
