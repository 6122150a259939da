import Loop
import Testing
import Time

/// Answers with what the test tells it to.
private final class Member: DeadlineMember {
  var asked: [MonotonicTime] = []
  var answer: (MonotonicTime) -> MonotonicTime?

  init(_ answer: @escaping (MonotonicTime) -> MonotonicTime? = { _ in nil }) {
    self.answer = answer
  }

  func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    asked.append(now)
    return answer(now)
  }
}

private func at(_ nanoseconds: UInt64) -> MonotonicTime { MonotonicTime(nanoseconds: nanoseconds) }

@Suite struct DeadlineListTests {
  let list = DeadlineList()

  @Test func `a member is asked when its time has come and leaves with nil`() {
    let member = Member()
    _ = list.add(member, at: at(10))
    list.scan(at: at(9))
    #expect(member.asked.isEmpty)
    list.scan(at: at(10))
    #expect(member.asked == [at(10)])
    #expect(list.count == 0)
    list.scan(at: at(20))
    #expect(member.asked.count == 1)
  }

  @Test func `an answer is the next deadline`() {
    let member = Member { $0 + Nanoseconds(5) }
    _ = list.add(member, at: at(10))
    for time in 9..<21 { list.scan(at: at(UInt64(time))) }
    #expect(member.asked == [at(10), at(15), at(20)])
  }

  @Test func `moving takes effect in both directions`() {
    let member = Member()
    let handle = list.add(member, at: at(10))
    list.move(handle, to: at(30))
    list.scan(at: at(20))
    #expect(member.asked.isEmpty)
    list.move(handle, to: at(15))
    list.scan(at: at(20))
    #expect(member.asked.count == 1)
  }

  @Test func `a removed member is not asked and its handle does nothing to the next`() {
    let (first, second) = (Member(), Member())
    let handle = list.add(first, at: at(10))
    list.remove(handle)
    list.remove(handle)
    _ = list.add(second, at: at(10))
    list.move(handle, to: at(50))
    list.remove(handle)
    list.scan(at: at(10))
    #expect(first.asked.isEmpty)
    #expect(second.asked.count == 1)
  }

  @Test func `members remove themselves and each other during the scan`() {
    var handles: [DeadlineHandle] = []
    var members: [Member] = []
    for index in 0..<10 {
      let member = Member { [list] now in
        list.remove(handles[index])
        list.remove(handles[(index + 1) % 10])
        // Too late: it has left already.
        return now
      }
      members.append(member)
      handles.append(list.add(member, at: at(10)))
    }
    list.scan(at: at(10))
    #expect(members.map(\.asked.count) == [1, 0, 1, 0, 1, 0, 1, 0, 1, 0])
    #expect(list.count == 0)
  }

  @Test func `members added during the scan wait for the next`() {
    let late = Member()
    let member = Member { [list] _ in
      _ = list.add(late, at: at(1))
      return nil
    }
    _ = list.add(member, at: at(10))
    list.scan(at: at(10))
    list.scan(at: at(11))
    #expect(late.asked == [at(11)])
  }

  @Test func `members are let go when they leave`() {
    weak var observed: Member?
    do {
      let member = Member()
      observed = member
      _ = list.add(member, at: at(10))
    }
    #expect(observed != nil)
    list.scan(at: at(10))
    #expect(observed == nil)
  }

  @Test func `ten thousand members are scanned in no time`() throws {
    let member = Member()
    for _ in 0..<10_000 { _ = list.add(member, at: at(1_000_000)) }
    let clock = ContinuousClock()
    // The quickest of some: others may take the processor meanwhile.
    let times = (0..<5).map { _ in clock.measure { for now in 0..<100 { list.scan(at: at(UInt64(now))) } } }
    let time = try #require(times.min())
    // Measured in release: 7 to 11 us each. A debug build gets fifty times as much.
    #expect(time / 100 < .milliseconds(5))
    #expect(list.count == 10_000)
  }

  @Test func `the loop's tick asks`() throws {
    let loop = try EventLoop()
    let start = loop.readClock()
    let member = Member { _ in
      loop.stop()
      return nil
    }
    _ = loop.deadlines.add(member, at: start + .milliseconds(60))
    loop.run()
    let taken = member.asked[0] - start
    #expect(taken >= .milliseconds(60) && taken < .seconds(2))
  }
}
