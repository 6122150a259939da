package import Streams

/// One cell of the matrix: `curl/legacy/h1/B01`.
package struct CellID: Hashable, Sendable, CustomStringConvertible {
  package let client: String
  package let mode: Mode
  package let transport: String
  package let behaviour: String

  package init(client: String, mode: Mode, transport: String, behaviour: String) {
    (self.client, self.mode, self.transport, self.behaviour) = (client, mode, transport, behaviour)
  }

  package init?(_ text: String) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 4, let mode = Mode(rawValue: parts[1]) else { return nil }
    self.init(client: parts[0], mode: mode, transport: parts[2], behaviour: parts[3])
  }

  package var description: String { "\(client)/\(mode.rawValue)/\(transport)/\(behaviour)" }
}

/// How a client reaches the gateway. A further way is one more entry of `all`.
package struct MatrixTransport: Sendable, Equatable {
  package let id: String
  package let title: String
  /// Which behaviours are played over it.
  package let carried: Carried

  package enum Carried: Sendable {
    case all
    /// The smoke set.
    case smoke
    /// Those that show what is lost without a gateway.
    case race
  }

  package static let all = [
    MatrixTransport(id: "h1", title: "HTTP/1.1, direct", carried: .all),
    MatrixTransport(id: "nginx", title: "HTTP/1.1 through nginx", carried: .smoke),
    MatrixTransport(id: "haproxy", title: "HTTP/1.1 through haproxy", carried: .smoke),
    MatrixTransport(id: "bare", title: "the backend itself, without the gateway", carried: .race),
  ]

  /// Whether there is no gateway on the way.
  package var isBare: Bool { carried == .race }

  /// Without a gateway there are no modes, and a page of another origin gets nothing.
  package func carries(_ behaviour: Behaviour, to client: MatrixClient, in mode: Mode) -> Bool {
    switch carried {
    case .all: true
    case .smoke: behaviour.isSmoke
    case .race: behaviour.isRace && mode == .legacy && !client.abilities.contains(.page)
    }
  }
}
