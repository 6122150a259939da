import Runs
import Streams

// What a run tells other replicas, and asks them.
extension Run {
  /// Tells how the run stands here: its owner how far it is, everybody how many readers there are.
  func tellReplicas() {
    guard let notice else { return }
    var status = RunStatus(readers: readers.count)
    if isOwner {
      let report = report
      status.progress = RunStatus.Progress(
        phase: report.state, attempts: report.attempts,
        milliseconds: report.state == .ended ? report.milliseconds : nil)
    }
    notice.post(status)
  }

  /// Asks whether somebody reads the run on another replica, or may do so as long as the store does not answer.
  ///
  /// - Parameter completion: gets also what the last reader that said so wants to become of the run, wherever it reads.
  /// - Returns: false when no other replica can.
  func askForReadersElsewhere(_ completion: @escaping (Bool, DisconnectPolicy?) -> Void) -> Bool {
    guard let notice, !isDegraded else { return false }
    notice.store.readersElsewhere(of: notice.id) { status in
      completion(status?.readers != 0, status?.wish)
    }
    return true
  }
}
