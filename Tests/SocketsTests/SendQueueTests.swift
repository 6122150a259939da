import Bytes
import Sockets
import Testing
import Time

struct SendQueueTests {
  private let start = MonotonicTime(nanoseconds: 1)

  @Test func `bytes leave in the order in which they came`() {
    var queue = SendQueue(at: start)
    var expected: [UInt8] = []
    for round in 0..<200 {
      let bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: round), count: round * 7 % 50)
      queue.append(bytes.span, at: start)
      expected += bytes
      let taken = min(queue.count, round * 3 % 40)
      let first = [UInt8](copying: queue.span.extracting(first: taken))
      #expect(first == Array(expected.prefix(taken)))
      queue.removeFirst(taken, at: start)
      expected.removeFirst(taken)
      let left = queue.count
      #expect(left == expected.count)
    }
    queue.removeFirst(queue.count, at: start)
    let isEmpty = queue.isEmpty
    #expect(isEmpty)
  }

  @Test func `progress is made when the queue begins and when the socket takes something`() {
    var queue = SendQueue(at: start)
    func progress(after seconds: Int) -> MonotonicTime { start + .seconds(seconds) }
    var last = queue.lastProgress
    #expect(last == start)
    queue.append([1, 2, 3].span, at: progress(after: 1))
    last = queue.lastProgress
    #expect(last == progress(after: 1))
    queue.append([4].span, at: progress(after: 2))
    last = queue.lastProgress
    #expect(last == progress(after: 1))
    queue.removeFirst(1, at: progress(after: 3))
    last = queue.lastProgress
    #expect(last == progress(after: 3))
  }

  @Test(arguments: [
    (mark: 0, before: 5, after: 3, isTold: false), (0, 5, 0, true), (0, 0, 0, false), (3, 5, 4, false),
    (3, 5, 3, true), (3, 3, 2, false), (3, 3, 0, true), (-1, 5, 0, true),
  ])
  func `the owner is told of an empty queue and of one that passes the mark`(
    _ mark: Int, _ before: Int, _ after: Int, _ isTold: Bool
  ) {
    var queue = SendQueue(at: start)
    queue.lowWaterMark = mark
    queue.append([UInt8](repeating: 7, count: before).span, at: start)
    queue.removeFirst(before - after, at: start)
    let hasDrained = queue.hasDrained(from: before)
    #expect(hasDrained == isTold)
  }
}
