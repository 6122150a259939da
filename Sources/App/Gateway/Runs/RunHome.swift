/// Who writes a run, as a process sees it that has it.
package enum RunHome: Sendable {
  case thisLoop
  /// The run is a copy: the process has the original.
  case anotherLoop
  case anotherReplica
  case aWorker
}
