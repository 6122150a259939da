import Gateway
import Time

/// What backends answered in the last five minutes.
struct BackendHistory {
  private static let step = Nanoseconds.seconds(5)
  private static let limit = 60

  /// The last sums of each worker: one that does not answer keeps them.
  private var counted: [Int: [String: StatusCounts]] = [:]
  // What was counted before the first moment came within the window too.
  private var moments: [[String: StatusCounts]] = [[:]]
  private var lastAt: MonotonicTime?

  mutating func add(_ views: [WorkerView], at now: MonotonicTime) {
    for view in views {
      counted[view.worker] = Dictionary(view.upstreams.map { ($0.name, $0.statuses) }) { first, _ in first }
    }
    if let lastAt, now - lastAt < Self.step { return }
    lastAt = now
    moments.append(sums)
    if moments.count > Self.limit { moments.removeFirst() }
  }

  private var sums: [String: StatusCounts] {
    var sums: [String: StatusCounts] = [:]
    for own in counted.values { for (name, counts) in own { sums[name, default: StatusCounts()].add(counts) } }
    return sums
  }

  /// The answers of each backend in the window.
  var recent: [(name: String, statuses: StatusCounts)] {
    sums.map { ($0.key, $0.value.since(moments[0][$0.key] ?? StatusCounts())) }.sorted { $0.name < $1.name }
  }
}
