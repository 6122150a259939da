/// How many requests operators have sent, by path and status. Used on the main loop.
struct AdminRequestCounts {
  private struct Key: Hashable {
    let path: String
    let status: Int
  }

  /// What the operators' listener serves, as `GET /` lists it.
  static let paths = [
    "/healthz", "/readyz", "/metrics", "/streams", "/runs", "/upstreams", "/config", "/clients", "/flags", "/kill",
    "/unkill", "/dashboard", "/dashboard/events",
  ]

  // The series is there from the first scrape on, which is counted after it was written.
  private var counts = [Key(path: "/metrics", status: 200): 0]

  /// - Parameter path: of the request; `nil` where its head could not be read.
  mutating func answered(_ status: Int, on path: String?) {
    counts[Key(path: Self.label(of: path), status: status), default: 0] += 1
  }

  /// Made-up paths must not grow the exposition.
  private static func label(of path: String?) -> String {
    guard let path else { return "other" }
    if StopPath.stream(in: path) != nil { return StopPath.pattern }
    return path == "/" || paths.contains(path) ? path : "other"
  }

  var samples: [(labels: [(String, String)], value: Double)] {
    counts.sorted { ($0.key.path, $0.key.status) < ($1.key.path, $1.key.status) }.map { key, count in
      ([("path", key.path), ("code", "\(key.status)")], Double(count))
    }
  }
}
