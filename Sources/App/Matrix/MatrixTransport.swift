package import Streams

/// How a client reaches the gateway. A further way is one more entry of `all`.
package struct MatrixTransport: Sendable, Equatable {
  package let id: String
  package let title: String
  /// Which behaviours are played over it.
  package let carried: Carried
  /// What the gateway's listener has to log of each request.
  package let wire: Wire

  package enum Carried: Sendable {
    case all
    /// The smoke set.
    case smoke
    /// Those that show what is lost without a gateway.
    case race
  }

  /// What is spoken on the connection that reaches the gateway.
  package enum Wire: String, Sendable {
    case plain = "http/1.1"
    case secure = "http/1.1 over TLS"
    case http2 = "h2 over TLS"

    /// As the gateway's log tells it: RFC 7301's name of what was agreed on.
    ///
    /// - Parameters:
    ///   - version: of TLS; `nil` without it.
    ///   - applicationProtocol: `nil` when the client did not ask, which leaves HTTP/1.1.
    package init(version: String?, applicationProtocol: String?) {
      self = version == nil ? .plain : applicationProtocol == "h2" ? .http2 : .secure
    }

    package var isSecure: Bool { self != .plain }
  }

  init(id: String, title: String, carried: Carried, wire: Wire = .plain) {
    (self.id, self.title, self.carried, self.wire) = (id, title, carried, wire)
  }

  /// Straight to the gateway.
  package static let direct = MatrixTransport(id: "h1", title: "HTTP/1.1, direct", carried: .all)

  package static let all = [
    direct,
    MatrixTransport(id: "tls", title: "HTTP/1.1 over TLS, direct", carried: .smoke, wire: .secure),
    MatrixTransport(id: "h2", title: "HTTP/2 over TLS, direct", carried: .smoke, wire: .http2),
    MatrixTransport(id: "nginx", title: "HTTP/1.1 through nginx", carried: .smoke),
    MatrixTransport(id: "haproxy", title: "HTTP/1.1 through haproxy", carried: .smoke),
    MatrixTransport(id: "bare", title: "the backend itself, without the gateway", carried: .race),
  ]

  package static func named(_ id: String) -> MatrixTransport? { all.first { $0.id == id } }

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
