import HTTP
import Streams
import Upstreams

/// Makes the exchanges of one loop, of the parts that they are given.
///
/// Confined to its loop's thread.
final class ExchangeMaker {
  private let context: LoopContext
  /// What requests begin with now.
  var settings: LoopSettings
  private let streams: StreamOpener
  private let upstreams: UpstreamRoom
  private let tails: ShadowTails
  private let runs: RunRoster

  init(
    settings: LoopSettings, streams: StreamOpener, upstreams: UpstreamRoom, tails: ShadowTails, runs: RunRoster,
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
    Exchange(
      request: request, client: client, settings: settings, streams: streams, upstreams: upstreams, tails: tails,
      runs: runs, context: context)
  }
}
