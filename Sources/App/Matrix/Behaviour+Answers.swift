internal import Harness
internal import Streams
internal import Time

extension Behaviour {
  /// How the backend's answer ends.
  static let answers: [Behaviour] = [
    Behaviour(
      "B01", "events after the completion event",
      why: "A client that hangs up at the completion event loses what comes after it: usage, titles, the last status.",
      isSmoke: true, isRace: true, outcome: .completed, visibleEnd: .end
    ) { dialect in
      var play = begun(dialect, tokens: 2)
      play.say(dialect.completion, pause: .milliseconds(60))
      play.say([dialect.trailing(1), dialect.trailing(2)])
      play.then(.end)
      return play
    },
    Behaviour(
      "B02", "the backend resets the connection", why: "A cut must never look like an end.", isSmoke: true,
      outcome: .upstreamTruncated, visibleEnd: .cut
    ) { dialect in
      var play = begun(dialect, tokens: 2)
      play.then(toRead)
      play.then(.cut)
      return play
    },
    Behaviour(
      "B03", "the backend closes without its last chunk",
      why: "A FIN is no end either: only the framing says that the body is complete.", outcome: .upstreamTruncated,
      visibleEnd: .cut
    ) { dialect in
      var play = begun(dialect, tokens: 2)
      play.then(toRead)
      play.then(.finish(.unterminated))
      return play
    },
    Behaviour(
      "B04", "a clean end without a terminal", why: "The bytes are complete, the answer may not be.",
      outcome: .incomplete, visibleEnd: .nothing
    ) { dialect in
      var play = begun(dialect, tokens: 2)
      play.then(.end)
      return play
    },
    Behaviour(
      "B05", "an error told in the stream", why: "The status was 200 long ago; the error is an event.",
      outcome: .upstreamError, visibleEnd: .inBand
    ) { dialect in
      var play = begun(dialect, tokens: 1)
      play.say([dialect.failure])
      play.then(.end)
      return play
    },
    Behaviour(
      "B06", "an error before any content, and a second backend",
      why: "Nothing has been told yet, so another backend can answer, and nobody needs to know.", outcome: .completed,
      visibleEnd: .end, requests: 2, route: #"upstreams: [["first"], ["second"]], gate: "firstEvent""#
    ) { dialect in
      var play = begun(dialect, tokens: 2)
      play.say(dialect.completion)
      play.then(.end)
      play.first = Script([
        .head(), .event(dialect.failure.type == "message" ? nil : dialect.failure.type, dialect.failure.data), .end,
      ])
      return play
    },
    Behaviour(
      "B07", "all backends are down: 503 and Retry-After",
      why: "A client must be able to tell this from an empty answer.",
      outcome: nil, visibleEnd: .status(503), requests: 0, route: #"upstreams: [["down"], ["downToo"]]"#
    ) { _ in Play() },
    Behaviour(
      "B23", "the client opts in, whatever the flag says",
      why: "Opting in is asking: the flag decides, and the client lives with every answer.", outcome: .completed,
      visibleEnd: .end, optsInAlways: true
    ) { dialect in
      var play = begun(dialect, tokens: 2)
      play.say(dialect.completion)
      play.then(.end)
      return play
    },
    Behaviour(
      "B22", "the last messages come with the completion event, and the end at once",
      why: "The race in its shortest form: all is on its way when the client hangs up.", isRace: true,
      outcome: .completed, visibleEnd: .end
    ) { dialect in
      var play = begun(dialect, tokens: 2)
      play.say(dialect.completion + [dialect.trailing(1), dialect.trailing(2)], pause: .zero)
      play.then(.end)
      return play
    },
  ]

  /// Before a cut, until clients have read what came: a browser drops what its page has not read of a response that fails.
  static let toRead = Script.Step.pause(.milliseconds(300))

  /// The head, what the dialect opens with, and the first pieces of content.
  static func begun(_ dialect: MatrixDialect, tokens: Int) -> Play {
    var play = Play()
    play.say(dialect.opening, pause: .zero)
    if tokens > 0 { play.say((1...tokens).map(dialect.token)) }
    return play
  }
}
