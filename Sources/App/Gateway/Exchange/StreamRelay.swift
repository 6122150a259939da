import Bytes
import HTTP
import Loop
import Streams
import Telemetry
import Time

/// A backend's event stream on its direct way to the one client that asked for it.
///
/// Its exchange hands everything that happens on either side over to it.
final class StreamRelay {
  let stream: EventStream
  /// Holds us in turn, until the stream is over.
  private let exchange: Exchange
  private let client: any ClientStream
  private let context: LoopContext
  private let services: ExchangeServices

  init(_ stream: EventStream, for exchange: Exchange) {
    self.stream = stream
    self.exchange = exchange
    client = exchange.client
    context = exchange.context
    services = exchange.services
  }

  func open(_ head: borrowing ResponseHead, _ opening: StreamOpening, _ request: borrowing RequestHead) {
    exchange.sendHead(of: stream, head, opening, request)
    let scratch = context.loop.scratch
    stream.reader.open(into: &scratch.buffer)
    client.send(&scratch.buffer)
    stream.clock.sent(at: context.loop.now)
    client.exchangeNeedsTime()
  }

  /// The path that every event takes.
  func received(_ input: InputBuffer, _ range: Range<Int>) {
    let scratch = context.loop.scratch
    let now = context.loop.now
    let arrival = stream.receive(input.slice(range), at: now, into: &scratch.buffer)
    if arrival.isFirstEvent { services.books.firstEventCame(stream) }
    if arrival.isFirstEvent || arrival.isFirstContent {
      exchange.dispatch?.eventsCame(bearsContent: arrival.isFirstContent)
    }
    switch arrival.delivery {
    case .verbatim:
      stream.bodyBytes += UInt64(range.count)
      client.send(input, range)
    case .buffered:
      guard !scratch.buffer.isEmpty else { return }
      stream.bodyBytes += UInt64(scratch.buffer.count)
      client.send(&scratch.buffer)
    case .failed(let outcome):
      client.send(&scratch.buffer)
      return finish(outcome, reason: "an event is larger than allowed")
    }
    stream.wasSent(to: client, at: now)
  }

  func ended(_ end: UpstreamEnd) {
    // First the outcome: it sees a terminal that the backend left without its blank line.
    let outcome = stream.outcome(of: end)
    let reason: String
    switch end {
    case .clean where stream.hasTerminal: reason = "the backend ended its stream"
    case .clean: reason = "the backend ended without its terminal"
    case .cut(let fault): reason = fault.rawValue
    }
    finish(outcome, reason: reason, upstreamIsComplete: end == .clean)
  }

  /// The reader's last bytes, the close, the books.
  func finish(_ outcome: Outcome, reason: String, upstreamIsComplete: Bool = false) {
    exchange.dispatch?.lastEventCame(at: stream.clock.lastSignOfBackend)
    exchange.end(.ended(outcome))
    let end = StreamEnd(
      stream: stream.id, time: context.loop.wallTime(), outcome: outcome, reason: reason)
    let ending = Ending(streamEnd: end, upstreamIsComplete: upstreamIsComplete, recall: services.decider.recall)
    let hadPartial = stream.hasPartialEvent
    let scratch = context.loop.scratch
    let bodyEnd = stream.finish(ending, into: &scratch.buffer)
    stream.bodyBytes += UInt64(scratch.buffer.count)
    if upstreamIsComplete, hadPartial { context.shard.increment(context.metrics.unterminated) }
    client.end(bodyEnd, &scratch.buffer, closing: (stream.closing, stream.closeLabel(outcome, bodyEnd)))
    services.books.closed(stream, outcome: outcome, reason: reason)
  }

  func clientGone() {
    let isPaused = exchange.isUpstreamPaused
    let tail = readsTail ? exchange.handOver().map { makeTail($0) } : nil
    if tail == nil { exchange.end(.ended(.clientGone)) }
    services.books.clientLeft(stream, isStopping: context.isStopping)
    tail?.begin(isPaused: isPaused)
  }

  private func makeTail(_ dispatch: Dispatch) -> ShadowTail {
    ShadowTail(stream, dispatch, books: services.books, tails: services.tails, context: context)
  }

  /// Whether the shadow is to see what the backend sends after the client has left.
  private var readsTail: Bool {
    exchange.settings.configuration.shadow.readsTails && stream.mode == .legacy && stream.marks.contains(.completion)
      && exchange.hasWholeRequest && exchange.dispatch?.isActive == true && !context.isDraining && !context.isStopping
      && services.tails.hasRoom && services.upstreams.admitsRequest
  }

  /// Looks at the clocks.
  ///
  /// - Returns: when to look again; `nil` when the stream is over.
  func timePassed(_ now: MonotonicTime) -> MonotonicTime? {
    guard let dispatch = exchange.dispatch, dispatch.isActive else {
      context.shard.increment(context.metrics.orphans)
      finish(.gatewayError, reason: "internal error: no backend connection is attached to this stream")
      return nil
    }
    let look = dispatch.timePassed(now)
    guard exchange.relay === self else { return nil }
    let clientLook = stream.look(at: client, now)
    let mayKeepAlive = stream.mayKeepAlive
    let verdict = stream.clock.verdict(at: now, keepsAlive: stream.keepsAlive && mayKeepAlive)
    switch verdict {
    case .quiet(let until):
      // No comment line inside an event: the next look is soon.
      let next = stream.keepsAlive && !mayKeepAlive ? now + .seconds(1) : until
      return min(until, look, clientLook, next)
    case .keepaliveIsDue:
      services.books.keptAlive()
      return stream.keepAlive(client, through: &context.loop.scratch.buffer, at: now)
    case .firstTokenTimeout, .idleTimeout, .totalTimeout:
      if let ending = verdict.ending { finish(ending.outcome, reason: ending.reason) }
    case .clientStalled:
      exchange.end(.ended(.clientGone))
      services.books.clientStalled(stream)
      client.abandon()
    }
    return nil
  }
}
