import HTTP

/// What the exchanges of one loop work with, beside the loop itself.
///
/// Confined to its loop's thread.
final class ExchangeServices {
  let context: LoopContext
  /// What requests begin with now.
  var settings: LoopSettings
  let decider: ModeDecider
  let books: StreamBooks
  let upstreams: UpstreamRoom
  let tails: ShadowTails
  /// The runs whose readers are on this loop.
  let runs: RunRoster
  let plainRules = ResponseRules()
  let streamRules = StreamRules()

  init(
    settings: LoopSettings, decider: ModeDecider, books: StreamBooks, upstreams: UpstreamRoom, tails: ShadowTails,
    runs: RunRoster, context: LoopContext
  ) {
    self.settings = settings
    self.decider = decider
    self.books = books
    self.upstreams = upstreams
    self.tails = tails
    self.runs = runs
    self.context = context
  }
}
