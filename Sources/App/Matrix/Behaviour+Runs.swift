internal import Harness
internal import Streams
internal import Time

extension Behaviour {
  private static let kept =
    #"upstreams: "main", runs: { onDisconnect: "grace=10" }, stream: { retry: "50ms" }"#

  /// What is read again, stopped or replaced.
  static let runs: [Behaviour] = [
    Behaviour(
      "B11", "resume after a cut",
      why: "The network of a client breaks; its answer goes on and is read from where it was.",
      isSmoke: true, outcome: .completed, sign: .end, action: .cutClient(behind: "word3"), route: kept, needs: [.resume]
    ) { dialect in
      var play = Play()
      play.say((1...6).map(dialect.token), pause: .milliseconds(40))
      play.say(dialect.completion)
      play.then(.end)
      return play
    },
    Behaviour(
      "B12", "resume of a run that is over", why: "Who has everything must be told so, not be given another answer.",
      outcome: nil, sign: .status(204), action: .finishFirst, route: kept, needs: [.begin]
    ) { dialect in
      var play = begun(dialect, tokens: 2)
      play.say(dialect.completion)
      play.then(.end)
      return play
    },
  ]
}
