internal import Harness
internal import Streams
internal import Time

extension Behaviour {
  /// How the backend's answer ends.
  static let answers: [Behaviour] = [
    Behaviour(
      "B01", "events after the completion event",
      why: "A client that hangs up at the completion event loses what comes after it: usage, titles, the last status.",
      isSmoke: true, outcome: .completed, sign: .end
    ) { dialect in
      var play = begun(dialect, tokens: 2)
      play.say(dialect.completion, pause: .milliseconds(60))
      play.say([dialect.trailing(1), dialect.trailing(2)])
      play.then(.end)
      return play
    },
    Behaviour(
      "B02", "the backend resets the connection", why: "A cut must never look like an end.", isSmoke: true,
      outcome: .upstreamTruncated, sign: .cut
    ) { dialect in
      var play = begun(dialect, tokens: 2)
      play.then(.pause(.milliseconds(40)))
      play.then(.cut)
      return play
    },
    Behaviour(
      "B03", "the backend closes without its last chunk",
      why: "A FIN is no end either: only the framing says that the body is complete.", outcome: .upstreamTruncated,
      sign: .cut
    ) { dialect in
      var play = begun(dialect, tokens: 2)
      play.then(.finish(.unterminated))
      return play
    },
    Behaviour(
      "B04", "a clean end without a terminal", why: "The bytes are complete, the answer may not be.",
      outcome: .incomplete, sign: .nothing
    ) { dialect in
      var play = begun(dialect, tokens: 2)
      play.then(.end)
      return play
    },
    Behaviour(
      "B05", "an error told in the stream", why: "The status was 200 long ago; the error is an event.",
      outcome: .upstreamError, sign: .inBand
    ) { dialect in
      var play = begun(dialect, tokens: 1)
      play.say([dialect.failure])
      play.then(.end)
      return play
    },
  ]

  /// The head, what the dialect opens with, and the first pieces of content.
  static func begun(_ dialect: MatrixDialect, tokens: Int) -> Play {
    var play = Play()
    play.say(dialect.opening, pause: .zero)
    if tokens > 0 { play.say((1...tokens).map(dialect.token)) }
    return play
  }
}
