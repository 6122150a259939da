import Bytes
import Testing

struct QueueTests {
  @Test func `what comes first goes first, and nothing is kept of it`() {
    var queue = Queue<Int>()
    #expect(queue.popFirst() == nil && queue.isEmpty)
    var next = 0
    for number in 0..<10_000 {
      queue.append(number)
      if number % 3 == 0 {
        #expect(queue.first == next)
        #expect(queue.popFirst() == next)
        next += 1
      }
      #expect(queue.count == number + 1 - next)
    }
    while let number = queue.popFirst() {
      #expect(number == next)
      next += 1
    }
    #expect(next == 10_000 && queue.isEmpty)
  }

  @Test func `some can be dropped, wherever they stand`() {
    var queue = Queue<Int>()
    for number in 0..<100 { queue.append(number) }
    for _ in 0..<10 { _ = queue.popFirst() }
    queue.keep { $0 % 2 == 0 }
    #expect(queue.count == 45 && queue.first == 10)
    queue.append(200)
    var left: [Int] = []
    while let number = queue.popFirst() { left.append(number) }
    #expect(left == Array(stride(from: 10, to: 100, by: 2)) + [200])
  }
}
