import HTTP
import Streams
import Upstreams

/// Makes the exchanges of one loop, and holds what they have in common.
///
/// Confined to its loop's thread.
final class ExchangeMaker {
  let context: LoopContext
  /// What requests begin with now.
  var settings: LoopSettings
  let streams: StreamOpener
  let upstreams: UpstreamRoom
  let tails: ShadowTails
  /// The runs whose readers are on this loop.
  let runs: LoopRuns

  init(
    settings: LoopSettings, streams: StreamOpener, upstreams: UpstreamRoom, tails: ShadowTails, runs: LoopRuns,
    context: LoopContext
  ) {
    self.settings = settings
    self.streams = streams
    self.upstreams = upstreams
    self.tails = tails
    self.runs = runs
    self.context = context
  }

  func make(_ request: consuming RequestHead, for client: any ClientStream) -> Exchange {
    Exchange(request: request, client: client, settings: settings, maker: self)
  }
}
