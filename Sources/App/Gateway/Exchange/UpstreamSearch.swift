import HTTP
import SSE
import Streams
import Time

/// What a request needs until a response is good.
///
/// An object of its own, so that it goes then: the stream that follows may be idle for hours.
final class UpstreamSearch {
  let request: RequestHead
  let forwarded: ForwardedClient
  let record: RequestRecord
  /// The id of the event stream that the response may become.
  let stream: StreamID
  /// What the request began with.
  let settings: LoopSettings
  /// Of the route's candidates, in their order.
  let pools: [UpstreamPool]
  /// Whether the request's `Accept` names event streams.
  let acceptsStream: Bool
  var waterfall: Waterfall
  var hasSentContinue = false
  /// Whether the backend takes the request's body.
  var sendWatch = SendWatch()
  /// The WebSocket that the request opens.
  let opening: WebSocketOpening?

  init(
    for request: RequestHead, _ body: RequestBody?, from forwarded: ForwardedClient, on route: Route,
    settings: LoopSettings, record: RequestRecord, stream: StreamID, opening: WebSocketOpening?,
    at now: MonotonicTime
  ) {
    self.request = request
    self.opening = opening
    self.forwarded = forwarded
    self.record = record
    self.stream = stream
    self.settings = settings
    let pools = settings.pools(of: route)
    self.pools = pools
    acceptsStream = request.fields.containsElement(.accept, named: "text/event-stream")
    // Who opens a WebSocket gets one or a refusal, whatever else it would take.
    let takesStream = opening == nil && acceptsStream
    waterfall = Waterfall(
      order: settings.order(of: route, among: pools, at: now), policy: route.policy,
      request: AttemptRequest(
        effect: request.method.effect, expectsStream: request.method != .head && takesStream),
      mayReplay: body?.mayBeReplayed ?? true, awaitsClient: !(body?.isComplete ?? true), startedAt: now)
    waterfall.acceptsAnswer =
      takesStream && request.fields.containsElement(.accept, named: "application/json")
  }

  /// Whether a stream is asked for shows in the bodies of some requests only.
  func readWish(_ body: RequestBody) {
    guard !waterfall.expectsStream || waterfall.acceptsAnswer, request.method != .head else { return }
    guard body.withKept({ StreamRequest.asksForStream($0) }) else { return }
    waterfall.expectsStream = true
    waterfall.acceptsAnswer = false
  }
}
