package import Streams

/// A column of the matrix: what the backend, or somebody else, does while a client reads.
package struct Behaviour: Sendable {
  /// How the end can be seen without `stream_end`.
  package enum Sign: Equatable, Sendable {
    /// The response ends cleanly, and the whole answer is there.
    case end
    /// The framing or the connection breaks.
    case cut
    /// The backend's own event tells it.
    case inBand
    /// Not at all: a clean end like any other.
    case nothing
    /// The response's status says it, and there is no stream.
    case status(Int)
  }

  /// What happens from outside while the client reads.
  package enum Action: Equatable, Sendable {
    case none
    /// The client's first connection is cut behind this text.
    case cutClient(behind: String)
    /// The run is read to its end by another client first. The client then asks for what follows its last event.
    case finishFirst
  }

  /// Of the form `B01`.
  package let id: String
  package let title: String
  /// Why a client's owner should care.
  package let why: String
  /// Whether it is also played behind other proxies.
  package let isSmoke: Bool
  /// How the gateway's stream ends; `nil` when none opens.
  package let outcome: Outcome?
  package let sign: Sign
  /// Requests that the backend gets.
  package let requests: Int
  package let action: Action
  /// The settings of its route in the gateway's configuration, as members of an object in JSON5.
  package let route: String
  /// What a client must be able to do; others are not asked.
  package let needs: Set<Ability>
  let script: @Sendable (MatrixDialect) -> Play

  init(
    _ id: String, _ title: String, why: String, isSmoke: Bool = false, outcome: Outcome?, sign: Sign,
    requests: Int = 1, action: Action = .none, route: String = Behaviour.plainRoute, needs: Set<Ability> = [],
    script: @escaping @Sendable (MatrixDialect) -> Play
  ) {
    (self.id, self.title, self.why, self.isSmoke) = (id, title, why, isSmoke)
    (self.outcome, self.sign, self.requests, self.action) = (outcome, sign, requests, action)
    (self.route, self.needs, self.script) = (route, needs, script)
  }

  static let plainRoute = #"upstreams: "main""#

  /// What the backend does for a client of this dialect.
  package func play(_ dialect: MatrixDialect) -> Play { script(dialect) }

  package static func named(_ id: String) -> Behaviour? { all.first { $0.id == id } }

  package static let all: [Behaviour] = answers + silences + runs
}

/// What a client can do beyond reading a stream.
package enum Ability: String, CaseIterable, Sendable {
  /// Asks again with `Last-Event-ID` after a cut, by itself.
  case resume
  /// Can be told after which event to begin.
  case begin
}
