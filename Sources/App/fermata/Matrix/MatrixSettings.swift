import Matrix
import Streams
import TLS

/// The files of the gateway that the matrix starts.
enum MatrixSettings {
  /// A route for each behaviour in each mode, at `/<mode>/<behaviour>/…`.
  ///
  /// - Parameters:
  ///   - identity: with which it serves clients over TLS, at one address for HTTP/1.1 and at one for HTTP/2.
  ///   - store: the URL of the Redis for runs.
  static func configuration(backend: String, identity: TLSIdentity? = nil, store: String? = nil) -> String {
    let behaviours = Behaviour.all.filter { $0.action != .loseStore || store != nil }
    let routes = Mode.allCases.flatMap { mode in
      behaviours.map { behaviour in
        "{ name: \"\(behaviour.id)-\(mode.rawValue)\", path: \"/\(mode.rawValue)/\(behaviour.id)/*\", \(behaviour.route) },"
      }
    }
    return """
      {
        log: { format: "json" },
        workers: 2,
        drain: "300ms",
        // What is wrong with one cell must not take the backend from another.
        defaults: { health: { failures: 0 }, cors: { origins: ["*"] } },
        stream: { linger: "300ms" },
        listeners: [\(identity.map(listeners) ?? "")],
        \(store.map { "runs: { redis: { url: \"\($0)\", patience: \"300ms\", lease: \"1s\" } }," } ?? "")
        upstreams: {
          main: { url: "\(backend)" },
          first: { url: "\(backend)/first" },
          second: { url: "\(backend)" },
          // Nobody listens at these.
          down: { url: "http://127.0.0.1:1" },
          downToo: { url: "http://127.0.0.1:2" },
        },
        routes: [
          \(routes.joined(separator: "\n    "))
          { name: "pages", upstreams: "main" },
        ],
      }

      """
  }

  /// In the order of `MatrixTransport.all`.
  private static func listeners(_ identity: TLSIdentity) -> String {
    MatrixTransport.all.filter(\.wire.isSecure).map { transport in
      """
      { address: "127.0.0.1:0", http2: \(transport.wire == .http2),
        tls: { cert: "\(identity.certificate)", key: "\(identity.key)" } }
      """
    }.joined(separator: ", ")
  }

  /// The route's name says which variant its clients get.
  ///
  /// - Parameter isKilled: everybody gets legacy, as after `fermata flags kill`.
  static func flags(isKilled: Bool = false) -> String {
    """
    {
      "flags": {
        "stream-closing": {
          "state": "\(isKilled ? "DISABLED" : "ENABLED")",
          "variants": { "legacy": "legacy", "shield": "shield", "graceful": "graceful" },
          "defaultVariant": "legacy",
          "targeting": {
            "if": [
              { "ends_with": [{ "var": "route" }, "-graceful"] }, "graceful",
              { "ends_with": [{ "var": "route" }, "-shield"] }, "shield",
              "legacy"
            ]
          }
        }
      },
      "metadata": { "flagSetId": "matrix", "version": "\(isKilled ? 2 : 1)" }
    }

    """
  }
}
