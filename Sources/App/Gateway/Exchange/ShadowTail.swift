import HTTP
import Loop
import Streams
import Time
import Upstreams

/// Reads on what a backend sends after its legacy client left at the completion event, for the shadow alone: how much
/// clients miss shows only there. Bounded in time, bytes and number.
final class ShadowTail {
  private static let time = Nanoseconds.seconds(2)
  private static let byteLimit = 64 << 10

  private let stream: ClientDelivery
  private let feed: BackendFeed
  private let upstreamRequest: UpstreamRequest
  private let context: LoopContext
  private let tails: ShadowTails
  /// Events that came while the client was there.
  private let eventsBefore: UInt64
  private var bytes = 0
  private var deadline: DeadlineHandle?
  private var isOver = false

  init(
    of stream: ClientDelivery, _ feed: BackendFeed, _ upstreamRequest: UpstreamRequest, tails: ShadowTails,
    context: LoopContext
  ) {
    self.stream = stream
    self.feed = feed
    self.upstreamRequest = upstreamRequest
    self.tails = tails
    self.context = context
    eventsBefore = stream.eventsAfterCompletion
  }

  /// - Parameter isPaused: the backend is not read, because its client was behind.
  func begin(isPaused: Bool) {
    tails.began(self)
    deadline = context.loop.deadlines.add(self, at: context.loop.now + Self.time)
    upstreamRequest.pass(to: self)
    if isPaused { upstreamRequest.resumeResponse() }
  }

  /// Lets the backend go.
  func end() {
    guard !isOver else { return }
    isOver = true
    if let deadline { context.loop.deadlines.remove(deadline) }
    upstreamRequest.finish(.ended(.clientGone))
    tails.ended(self)
    stream.tailEnded(eventsBefore: eventsBefore)
  }
}

extension ShadowTail: UpstreamRequestOwner {
  func received(_ input: InputBuffer, _ range: Range<Int>) {
    guard !isOver else { return }
    let room = min(range.count, Self.byteLimit - bytes)
    bytes += room
    let piece = range.lowerBound..<range.lowerBound + room
    _ = feed.parser.receive(input.slice(piece), for: stream.reader, into: &context.loop.scratch.buffer)
    if bytes == Self.byteLimit { end() }
  }

  func ended(_ end: UpstreamEnd) {
    _ = feed.parser.outcome(of: end)
    self.end()
  }

  func requestFailed(_ failure: UpstreamRequestFailure) { end() }
  func requestHasNoRoom() { end() }
  // The response was good before, and the request whole.
  func requestSucceeded(_ head: consuming ResponseHead, framing: BodyFraming, isStream: Bool) {}
  func requestIsLate() {}
  func requestWantsBody() {}
  func requestTakesBody() {}
  func requestNeedsTime() {}
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
  private let context: LoopContext
  /// Where the backends' connections count.
  weak var upstreams: UpstreamRoom?

  init(_ context: LoopContext) {
    self.context = context
  }

  /// Whether another tail may be read.
  var admits: Bool {
    open.count < Self.limit && !context.isDraining && !context.isStopping && upstreams?.admitsRequest == true
  }

  func began(_ tail: ShadowTail) { open[ObjectIdentifier(tail)] = tail }
  func ended(_ tail: ShadowTail) { open[ObjectIdentifier(tail)] = nil }

  /// Ends them all.
  ///
  /// - Returns: whether there was one.
  func endAll() -> Bool {
    guard !open.isEmpty else { return false }
    for tail in open.values { tail.end() }
    return true
  }
}
