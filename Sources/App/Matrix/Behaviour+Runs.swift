internal import Harness
internal import Streams
internal import Time

extension Behaviour {
  private static let kept =
    #"upstreams: "main", runs: { onDisconnect: "grace=10" }, stream: { retry: "50ms" }"#

  private static let stored =
    #"upstreams: "main", runs: { store: "redis", whenStoreFails: "refuse", onDisconnect: "grace=10" }"#

  private static let small =
    #"upstreams: "main", runs: { limit: "64KiB" }, stream: { eventLimit: "64KiB" }"#

  /// Two events of so many bytes behind the first pieces. They come in pieces of their own, so that the client has what
  /// came before.
  private static func tooLarge(_ dialect: MatrixDialect, bytes: Int) -> Play {
    var play = opened(dialect)
    play.then(toRead)
    let large = dialect.content(String(repeating: "z", count: bytes))
    if bytes > 65_536 {
      play.sayLater([large])
    } else {
      play.say([large])
      play.then(toRead)
    }
    play.sayLater([large])
    play.then(.stall)
    return play
  }

  /// The first two pieces of content at once, so that they are with the client when something happens to its stream.
  private static func opened(_ dialect: MatrixDialect) -> Play {
    var play = Play()
    play.say(dialect.opening + [dialect.token(1), dialect.token(2)], pause: .zero)
    return play
  }

  /// What is read again, stopped or replaced.
  static let runs: [Behaviour] = [
    Behaviour(
      "B11", "resume after a cut",
      why: "The network of a client breaks; its answer goes on and is read from where it was.",
      isSmoke: true, outcome: .completed, visibleEnd: .end, action: .cutClient(behind: "word3"), route: kept,
      needs: [.resume]
    ) { dialect in
      var play = Play()
      play.say((1...2).map(dialect.token), pause: .milliseconds(40))
      play.then(toRead)
      play.say((3...6).map(dialect.token), pause: .milliseconds(40))
      play.say(dialect.completion)
      play.then(.end)
      return play
    },
    Behaviour(
      "B12", "resume of a run that is over", why: "Who has everything must be told so, not be given another answer.",
      outcome: nil, visibleEnd: .status(204), action: .finishFirst, route: kept, needs: [.begin]
    ) { dialect in
      var play = begun(dialect, tokens: 2)
      play.say(dialect.completion)
      play.then(.end)
      return play
    },
    Behaviour(
      "B13", "cancelled elsewhere", why: "Whoever stops a run ends it for all its readers, and each must be told.",
      outcome: .cancelled, visibleEnd: .cut, action: .cancel, route: kept, needs: [.keyed]
    ) { dialect in
      var play = opened(dialect)
      play.then(.stall)
      return play
    },
    Behaviour(
      "B14", "replaced by a newer stream",
      why: "The same view opened its stream anew: no error, and nothing to come back for.",
      outcome: .replacedByNewStream, visibleEnd: .cut, action: .replace, route: kept, needs: [.keyed]
    ) { dialect in
      var play = opened(dialect)
      play.then(.stall)
      return play
    },
    Behaviour(
      "B15", "the gateway drains", why: "A restart must not look like the end of an answer.", outcome: .draining,
      visibleEnd: .cut, action: .drain
    ) { dialect in
      var play = opened(dialect)
      play.then(.stall)
      return play
    },
    Behaviour(
      "B24", "an event that is larger than allowed", why: "One event must not fill the memory of a run.",
      outcome: .eventTooLarge, visibleEnd: .cut, route: small, needs: [.keyed]
    ) { dialect in tooLarge(dialect, bytes: 90_000) },
    Behaviour(
      "B25", "a run that is larger than may be kept",
      why: "Memory has an end; a client that is cut for it must not take the rest for the whole.",
      outcome: .runTooLarge, visibleEnd: .cut, route: small, needs: [.keyed]
    ) { dialect in tooLarge(dialect, bytes: 50_000) },
    Behaviour(
      "B27", "the store of runs is lost",
      why: "Where runs must be kept and can't be any more, the gateway ends them: that is no end of the answer.",
      outcome: .gatewayError, visibleEnd: .cut, action: .loseStore, route: stored, patience: 14, needs: [.keyed]
    ) { dialect in
      var play = opened(dialect)
      // As with the flag. What can't be stored is not handed to readers.
      play.then(.pause(.milliseconds(5000)))
      play.sayLater([dialect.token(3)])
      play.then(.stall)
      return play
    },
    Behaviour(
      "B20", "the same Idempotency-Key twice", why: "Who asks twice must get one answer, and pay for one.",
      outcome: .completed, visibleEnd: .end, action: .ask, route: kept, needs: [.keyed]
    ) { dialect in
      var play = opened(dialect)
      play.then(.pause(.milliseconds(1000)))
      play.say([dialect.token(3)] + dialect.completion)
      play.then(.end)
      return play
    },
    Behaviour(
      "B21", "the flag is killed while the stream is open", why: "What a stream was promised when it opened, it gets.",
      outcome: .completed, visibleEnd: .end, action: .kill
    ) { dialect in
      var play = opened(dialect)
      // Long enough for all clients to be there, because the flag is killed once for all of them.
      play.then(.pause(.milliseconds(5000)))
      play.say([dialect.token(3)] + dialect.completion)
      play.then(.end)
      return play
    },
  ]
}
