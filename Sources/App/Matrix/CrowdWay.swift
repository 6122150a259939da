package import Harness
internal import JSON
package import Streams

/// How one stream of a race or of a load is read, and what its reader is owed.
package enum CrowdWay: CaseIterable, Sendable {
  /// Reads from the backend itself and hangs up at the completion event.
  case bare
  /// A client of old through the gateway: it hangs up at the completion event.
  case legacyHasty
  /// Reads to the end of its response.
  case legacyPatient
  /// A client of old whose completion event is held back.
  case shield
  /// Waits for `stream_end`.
  case graceful

  package var title: String {
    switch self {
    case .bare: "without the gateway, hangs up at completion"
    case .legacyHasty: "legacy, hangs up at completion"
    case .legacyPatient: "legacy, reads to the end"
    case .shield: "shield, hangs up at completion"
    case .graceful: "graceful, waits for stream_end"
    }
  }

  /// What the flag gives it; `nil` without the gateway.
  package var mode: Mode? {
    switch self {
    case .bare: nil
    case .legacyHasty, .legacyPatient: .legacy
    case .shield: .shield
    case .graceful: .graceful
    }
  }

  /// Whether a message may not be lost to it. To the others it is lost before the gateway's time, and in legacy as before.
  package var isGuarded: Bool { self != .bare && self != .legacyHasty }

  /// The bytes at which the client hangs up.
  package var lastWords: String? {
    switch self {
    case .bare, .legacyHasty, .shield: "data: {\"type\":\"complete\"}\n\n"
    case .legacyPatient: nil
    case .graceful: "\"message\":\"Stream ending\"}\n\n"
    }
  }

  /// What came of a stream.
  package struct Outcome: Equatable, Sendable {
    /// Whether the client saw the sign at which it takes the answer for over.
    package var sawEnd = false
    /// Messages that it has not got by then.
    package var lost = 0
    /// Whether it got something else than the backend sent, or in another order.
    package var isMisread = false
  }

  /// - Parameters:
  ///   - events: all that came, the gateway's own among them.
  ///   - isWhole: whether the response ended cleanly.
  ///   - sent: all that the backend sends.
  package func judge(_ events: [ReceivedEvent], isWhole: Bool, sent: [ReceivedEvent]) -> Outcome {
    var (got, outcome) = (events.map(Self.bare), Outcome())
    var truth = sent.map(Self.bare)
    switch self {
    case .bare, .legacyHasty, .shield:
      if self == .shield { truth = truth.filter { $0.type != "complete" } + truth.filter { $0.type == "complete" } }
      // Who hangs up reads nothing that came behind in the same packet.
      if let end = got.firstIndex(where: { $0.type == "complete" }) {
        got = Array(got[...end])
        outcome.sawEnd = true
      }
    case .legacyPatient: outcome.sawEnd = isWhole
    case .graceful:
      outcome.sawEnd = got.contains(where: Self.isEnd)
      got.removeAll(where: Self.isEnd)
    }
    outcome.isMisread = !truth.starts(with: got)
    outcome.lost = outcome.sawEnd ? truth.count - got.count : 0
    return outcome
  }

  private static func isEnd(_ event: ReceivedEvent) -> Bool {
    event.type == "stream_end" && (try? JSONValue(parsing: event.data))?["source"]?.string == "gateway"
  }

  private static func bare(_ event: ReceivedEvent) -> ReceivedEvent {
    ReceivedEvent(type: event.type, data: event.data)
  }
}
