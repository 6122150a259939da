/// Who writes a run, as a process sees it that has it.
enum RunHome: Sendable {
  case thisLoop
  /// The run is a copy: the process has the original.
  case anotherLoop
  case anotherReplica
  case aWorker

  /// For `/runs`.
  var word: String {
    switch self {
    case .thisLoop, .anotherLoop: "this gateway"
    case .anotherReplica: "another gateway"
    case .aWorker: "a worker"
    }
  }
}
