import Configuration
import FlagControl
import HTTP
import Loop
import Streams
import Telemetry

/// Opens event streams towards the clients of one loop: has their mode decided, sends their heads, enters them in the
/// books.
///
/// Confined to its loop's thread.
final class StreamOpener {
  let books: StreamBooks
  private let decider: ModeDecider
  private let context: LoopContext
  private let rules = StreamRules()

  init(decider: ModeDecider, books: StreamBooks, context: LoopContext) {
    self.decider = decider
    self.books = books
    self.context = context
  }

  /// What the client of `request` gets if a stream is opened towards it. Evaluates the flag, and counts the result.
  func decide(_ request: RequestHead, _ route: Route, _ settings: LoopSettings) -> StreamOpening {
    let opening = StreamOpening(request: request, route: route, settings: settings, decider: decider)
    count(opening.decision)
    return opening
  }

  private func count(_ decision: ModeDecision) {
    let (shard, metrics) = (context.shard, context.metrics)
    if decision.lacksKey { shard.increment(metrics.evaluationsWithoutKey) }
    shard.increment(metrics.evaluations[decision.variant, decision.reason])
  }

  /// Sends the head of an event stream's response.
  ///
  /// - Parameters:
  ///   - run: where the events are kept, if they are.
  ///   - cors: who may read the answer from a web page.
  func sendHead(
    of stream: ClientDelivery, _ head: borrowing ResponseHead, _ opening: StreamOpening,
    _ request: borrowing RequestHead,
    run: Run?, route: String, cors: CORSPolicy?, settings: Settings, to client: any ClientStream
  ) {
    let plain = rules[stream.mode]
    opening.draftHead(
      head, stream: stream, run: run, resumePath: settings.configuration.runs.streamPath,
      rules: cors?.rules(plain, for: request, over: head.fields) ?? plain, into: &context.draft)
    stream.record?.writeFields(to: &context.draft)
    client.sendHead(context.draft, body: .open)
    stream.closing.headWasSent()
    books.opened(stream, route: route, request: request, settings)
  }
}
