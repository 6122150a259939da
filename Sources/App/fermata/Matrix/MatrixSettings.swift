import Matrix
import Streams

/// The files of the gateway that the matrix starts.
enum MatrixSettings {
  /// A route for each behaviour in each mode, at `/<mode>/<behaviour>/…`.
  static func configuration(backend: String) -> String {
    let routes = Mode.allCases.flatMap { mode in
      Behaviour.all.map { behaviour in
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
        upstreams: {
          main: { url: "\(backend)" },
        },
        routes: [
          \(routes.joined(separator: "\n    "))
          { name: "pages", upstreams: "main" },
        ],
      }

      """
  }

  /// The route's name says which variant its clients get.
  static let flags = """
    {
      "flags": {
        "stream-closing": {
          "state": "ENABLED",
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
      "metadata": { "flagSetId": "matrix", "version": "1" }
    }

    """
}
