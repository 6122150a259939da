package import Streams

/// A column of the matrix: what the backend, or somebody else, does while a client reads.
package struct Behaviour: Sendable {
  /// How the end can be seen without `stream_end`.
  package enum VisibleEnd: Equatable, Sendable {
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
    /// The client may not read the answer, and must not.
    case barred
  }

  /// What happens from outside while the client reads.
  package enum Action: Equatable, Sendable {
    case none
    /// The client's first connection is cut behind this text.
    case cutClient(behind: String)
    /// The run is read to its end by another client first. The client then asks for what follows its last event.
    case finishFirst
    /// Somebody else stops the run.
    case cancel
    /// The same client opens its stream anew.
    case replace
    /// The same request is made a second time, under the same key.
    case ask
    /// The gateway, one of the cell's own, is told to end.
    case drain
    /// The flag of the cell's own gateway is killed.
    case kill
    /// The Redis in which the cell's own gateway keeps runs is killed.
    case loseStore

    /// Whether the gateway can serve no other cell meanwhile.
    package var needsOwnGateway: Bool { self == .drain || self == .kill || self == .loseStore }
  }

  /// Of the form `B01`.
  package let id: String
  package let title: String
  /// Why a client's owner should care.
  package let why: String
  /// Whether it is also played behind other proxies.
  package let isSmoke: Bool
  /// Whether it is also played without the gateway, to show what is lost then.
  package let isRace: Bool
  /// How the gateway's stream ends; `nil` when none opens.
  package let outcome: Outcome?
  package let visibleEnd: VisibleEnd
  /// Requests that the backend gets.
  package let requests: Int
  package let action: Action
  /// The settings of its route in the gateway's configuration, as members of an object in JSON5.
  package let route: String
  /// Whether clients that can say that they understand `stream_end` say it whatever the flag gives them.
  package let optsInAlways: Bool
  /// Milliseconds that the client waits after each event.
  package let readDelay: Int
  /// Milliseconds for which the client takes nothing after its first event.
  package let stall: Int
  /// Seconds that a client may take.
  package let patience: Int
  /// What a client must be able to do; others are not asked.
  package let needs: Set<Ability>
  let script: @Sendable (MatrixDialect) -> Play

  init(
    _ id: String, _ title: String, why: String, isSmoke: Bool = false, isRace: Bool = false, outcome: Outcome?,
    visibleEnd: VisibleEnd, requests: Int = 1, action: Action = .none, route: String = Behaviour.plainRoute,
    optsInAlways: Bool = false,
    readDelay: Int = 0, stall: Int = 0, patience: Int = 8, needs: Set<Ability> = [],
    script: @escaping @Sendable (MatrixDialect) -> Play
  ) {
    (self.id, self.title, self.why, self.isSmoke, self.isRace) = (id, title, why, isSmoke, isRace)
    (self.outcome, self.visibleEnd, self.requests, self.action) = (outcome, visibleEnd, requests, action)
    (self.optsInAlways, self.patience, self.stall) = (optsInAlways, patience, stall)
    (self.route, self.readDelay, self.needs, self.script) = (route, readDelay, needs, script)
  }

  static let plainRoute = #"upstreams: "main""#

  /// Whether the client says that it understands `stream_end`.
  ///
  /// - Parameter variant: what the flag gives it.
  package func optsIn(_ client: MatrixClient, variant: Mode) -> Bool {
    client.optIn != .never && (variant == .graceful || optsInAlways)
  }

  /// What the backend does for a client of this dialect.
  package func play(_ dialect: MatrixDialect) -> Play { script(dialect) }

  package static func named(_ id: String) -> Behaviour? { all.first { $0.id == id } }

  package static let all: [Behaviour] = (answers + silences + runs + bytes).sorted { $0.id < $1.id }
}

/// What a client can do beyond reading a stream.
package enum Ability: String, CaseIterable, Sendable {
  /// Asks again with `Last-Event-ID` after a cut, by itself.
  case resume
  /// Can be told after which event to begin.
  case begin
  /// Asks by GET and can name its stream, or a key, in the request's fields.
  case keyed
  /// Can read slowly.
  case slow
  /// Reads nothing while its user takes nothing.
  case stall
  /// Is a page, which may read what its browser lets it.
  case page
}
