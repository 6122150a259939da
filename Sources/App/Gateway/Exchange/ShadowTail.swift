import HTTP
import Loop
import Streams
import Time

/// Reads on what a backend sends after its legacy client left at the completion event, for the shadow alone: how much
/// clients miss shows only there. Bounded in time, bytes and number.
final class ShadowTail {
  private static let time = Nanoseconds.seconds(2)
  private static let byteLimit = 64 << 10

  private let stream: EventStream
  private let dispatch: Dispatch
  private let worker: Worker
  /// Events that came while the client was there.
  private let eventsBefore: UInt64
  private var bytes = 0
  private var deadline: DeadlineHandle?
  private var isOver = false

  init(_ stream: EventStream, _ dispatch: Dispatch, worker: Worker) {
    self.stream = stream
    self.dispatch = dispatch
    self.worker = worker
    eventsBefore = stream.eventsAfterCompletion
  }

  /// - Parameter isPaused: the backend is not read, because its client was behind.
  func begin(isPaused: Bool) {
    worker.tails.began(self)
    deadline = worker.loop.deadlines.add(self, at: worker.loop.now + Self.time)
    dispatch.pass(to: self)
    if isPaused { dispatch.resumeResponse() }
  }

  /// Lets the backend go.
  func end() {
    guard !isOver else { return }
    isOver = true
    if let deadline { worker.loop.deadlines.remove(deadline) }
    dispatch.finish(.ended(.clientGone))
    worker.tails.ended(self)
    worker.books.tailEnded(stream, eventsBefore: eventsBefore)
  }
}

extension ShadowTail: DispatchOwner {
  func received(_ input: InputBuffer, _ range: Range<Int>) {
    guard !isOver else { return }
    let room = min(range.count, Self.byteLimit - bytes)
    bytes += room
    let piece = range.lowerBound..<range.lowerBound + room
    _ = stream.receive(input.slice(piece), at: worker.loop.now, into: &worker.loop.scratch.buffer)
    if bytes == Self.byteLimit { end() }
  }

  func ended(_ end: UpstreamEnd) {
    _ = stream.outcome(of: end)
    self.end()
  }

  func dispatchFailed(_ failure: DispatchFailure) { end() }
  func dispatchHasNoRoom() { end() }
  // The response was good before, and the request whole.
  func dispatchSucceeded(_ head: consuming ResponseHead, framing: BodyFraming, isStream: Bool) {}
  func dispatchIsLate() {}
  func dispatchWantsBody() {}
  func dispatchTakesBody() {}
  func dispatchNeedsTime() {}
}

extension ShadowTail: DeadlineMember {
  func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    end()
    return nil
  }
}

/// The tails that one loop reads now.
final class ShadowTails {
  static let limit = 64
  private var open: [ObjectIdentifier: ShadowTail] = [:]

  var hasRoom: Bool { open.count < Self.limit }
  var isEmpty: Bool { open.isEmpty }

  func began(_ tail: ShadowTail) { open[ObjectIdentifier(tail)] = tail }
  func ended(_ tail: ShadowTail) { open[ObjectIdentifier(tail)] = nil }

  func end() {
    for tail in open.values { tail.end() }
  }
}
