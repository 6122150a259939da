internal import Harness
internal import Streams
internal import Time

extension Behaviour {
  /// The limit that is waited for, instead of the 35 s and 55 s of a default configuration.
  private static let quick = #"upstreams: "main", stream: { firstToken: "300ms", idle: "300ms" }"#

  /// How the backend keeps silent.
  static let silences: [Behaviour] = [
    Behaviour(
      "B08", "silence before the first token", why: "A backend that accepts and says nothing holds its client forever.",
      outcome: .firstTokenTimeout, visibleEnd: .cut, route: quick
    ) { _ in
      var play = Play()
      play.then(.stall)
      return play
    },
    Behaviour(
      "B09", "silence in the middle, with keepalives",
      why: "Proxies and clients give up on connections that are silent; a comment line keeps them open.",
      isSmoke: true, outcome: .completed, visibleEnd: .end,
      route: #"upstreams: "main", stream: { idle: "10s", keepalive: "100ms", keepaliveInLegacy: true }"#
    ) { dialect in
      var play = begun(dialect, tokens: 1)
      play.then(.pause(.milliseconds(350)))
      play.say([dialect.token(2)] + dialect.completion)
      play.then(.end)
      return play
    },
    Behaviour(
      "B10", "silence beyond the idle limit",
      why: "A backend that hangs in the middle of its answer is ended, and told.",
      outcome: .idleTimeout, visibleEnd: .cut, route: quick
    ) { dialect in
      var play = Play()
      // At once: a slow machine must not be silent between them.
      play.say(dialect.opening + [dialect.token(1), dialect.token(2)], pause: .zero)
      play.then(.stall)
      return play
    },
  ]
}
