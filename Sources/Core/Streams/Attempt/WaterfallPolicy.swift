package import Time

/// What must have come from an upstream before the client is told anything.
package enum GateCondition: String, CaseIterable, Sendable {
  /// The head of a good response.
  case head
  /// Its first event with data, which is not an error.
  case firstEvent
  /// Its first event that bears content in the route's dialect.
  case firstToken
}

/// The time limits of one attempt, each from the attempt's start or, if the request's body came later, from that body's
/// end; 0 or less: none. They let a slow upstream go while there is another one to try. The last of several is held to
/// `connect` and what is left of the budget; a lone upstream, which has no budget, to `connect` and `head` or `answer`.
package struct AttemptTimeouts: Equatable, Sendable {
  /// Until the request can be sent, the TLS handshake included.
  package var connect = Nanoseconds.seconds(5)
  /// Until the response's head.
  package var head = Nanoseconds.seconds(30)
  /// Instead of `head` for a request that expects no stream: its answer is made before its head is sent.
  package var answer = Nanoseconds.seconds(300)
  /// Until the first event, where the gate waits for it.
  package var firstEvent = Nanoseconds.seconds(30)
  /// Until the first event that bears content, where the gate waits for it.
  package var firstToken = Nanoseconds.seconds(35)

  package init() {}
}

/// How a route's upstreams are tried.
package struct WaterfallPolicy: Equatable, Sendable {
  package var gate = GateCondition.head
  /// The time for all attempts together; the last candidate gets what is left. 0 or less: no limit, here and below.
  package var budget = Nanoseconds.seconds(60)
  /// Instead of `budget` for a request that expects no stream.
  package var answerBudget = Nanoseconds.seconds(600)
  /// How long the client hears nothing before its stream is opened all the same; 0: until there is a good one.
  package var commitAfter = Nanoseconds.seconds(15)
  /// Whether `commitAfter` counts for legacy clients too, who can be told of a later failure by a cut alone.
  package var commitsInLegacy = false
  /// The most bytes that the gate holds. A response that has not been found bad by then goes to the client.
  package var preambleLimit = 64 << 10
  /// When a request is made again.
  package var retry = RetryPolicy()
  /// What counts for an upstream that has no timeouts of its own.
  package var timeouts = AttemptTimeouts()
  /// Whether there is one upstream and no gate: its answers are passed on as they are, errors too. There is nothing to
  /// share the budget with, so it does not count: `timeouts` says how long a lone upstream may take.
  package var isTransparent = false

  package init() {}
}
