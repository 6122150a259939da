import Configuration
import Gateway
import JSON
import Loop
import Runs
import SSE
import Streams
import Time

/// A run as one worker knows it, for `/runs`.
struct RunReport: Sendable {
  let stream: StreamID
  let route: String
  let state: RunSummary
  /// Clients on this loop.
  var readers: Int
  /// Memory that its log takes on this loop.
  var bytes: Int
  let store: RunStoreKind
  let home: RunHome
  let age: Nanoseconds
  let worker: Int

  /// All runs of a process, each once: copies on other loops count with their original.
  static func document(_ lists: [RunList]) -> JSONValue {
    var reports: [StreamID: RunReport] = [:]
    for report in lists.flatMap(\.reports) {
      guard var known = reports.removeValue(forKey: report.stream) else {
        reports[report.stream] = report
        continue
      }
      var other = report
      if other.home != .anotherLoop { swap(&known, &other) }
      known.readers += other.readers
      known.bytes += other.bytes
      reports[report.stream] = known
    }
    return [
      "count": JSONValue(reports.count), "isCut": .bool(lists.contains(where: \.isCut)),
      "runs": .array(reports.values.sorted { $0.age > $1.age }.map(\.asJSON)),
    ]
  }

  private var asJSON: JSONValue {
    [
      "streamId": .string(stream.description), "route": .string(route), "state": .string(state.state.rawValue),
      "sequence": JSONValue(Int(clamping: state.sequence)), "bytesKept": JSONValue(bytes),
      "readers": JSONValue(readers), "attempts": JSONValue(state.attempts),
      "outcome": state.end.map { .string($0.outcome.rawValue) } ?? .null,
      "ageMilliseconds": JSONValue(Int(age.milliseconds)), "store": .string(store.rawValue),
      "owner": .string(home.word), "worker": JSONValue(worker),
    ]
  }
}

/// The runs that one worker knows, as many as are told at once.
struct RunList: Sendable {
  var reports: [RunReport] = []
  /// Whether there are more.
  var isCut = false
}

extension LoopRuns {
  /// The runs of this loop, the first `limit` of them, those that are not over before the others.
  func describe(limit: Int) -> RunList {
    var list = RunList()
    for wantsOver in [false, true] {
      for run in all where run.isOver == wantsOver {
        if list.reports.count == limit {
          list.isCut = true
          return list
        }
        list.reports.append(run.describe())
      }
    }
    return list
  }
}

extension Run {
  fileprivate func describe() -> RunReport {
    RunReport(
      stream: stream, route: route.settings.name, state: report, readers: readerCount, bytes: log.bytes,
      store: isShared ? .redis : .memory, home: home,
      age: context.loop.now - startedAt, worker: context.index)
  }
}

extension RunHome {
  fileprivate var word: String {
    switch self {
    case .thisLoop, .anotherLoop: "this gateway"
    case .anotherReplica: "another gateway"
    case .aWorker: "a worker"
    }
  }
}
