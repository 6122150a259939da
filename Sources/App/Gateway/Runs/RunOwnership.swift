import Loop
import Runs
import SSE
import Streams

/// What makes a run this gateway's among all replicas: its tenure, its log in the store, its ear for those who want it to
/// stop. Over when the run's end is in the store.
final class RunOwnership {
  let log: any SharedLog
  let store: any RunStore
  private let title: RunTitle
  // Held until it is over, not weakly: what is held weakly is dearer to retain, which every event of a run does.
  private var run: Run?
  private var tenure: (any RunTenure)?
  private(set) var isOver = false
  /// Among the runs of which the store keeps something.
  private var place: StoredPlace?

  /// - Parameters:
  ///   - title: what the run was claimed with.
  ///   - place: what is counted until the store has forgotten the run.
  init(_ title: RunTitle, log: any SharedLog, store: any RunStore, place: StoredPlace?) {
    self.title = title
    self.log = log
    self.store = store
    self.place = place
  }

  var id: RunID { title.run }
  var notice: RunNotice { RunNotice(id: id, store: store) }

  func begin(of run: Run) {
    self.run = run
    tenure = makeTenure()
    store.watchCancel(of: id, handler: self)
  }

  private func makeTenure() -> any RunTenure {
    store.hold(title) { [self] in run?.ownershipLost() }
  }

  /// A tenure to be given up at once. It must not bind the key again.
  private func makeBriefTenure() -> any RunTenure {
    var title = title
    title.key = nil
    return store.hold(title) {}
  }

  /// The loop ends, and with it the tenure, which nobody renews.
  func letGo() {
    run = nil
    tenure = nil
  }

  /// The log has stored something.
  func logMoved() {
    if log.isSettled || (log.hasEnd && run?.isDegraded == false) { release() }
  }

  /// The run is forgotten, or there never was one.
  func giveUp() {
    if log.end == nil, let (key, request) = title.key {
      // Nobody has got an answer by the key.
      store.releaseKey(key, run: id, request: request)
    }
    release(hasStream: log.end != nil || log.last > 0)
  }

  /// Whether the store is needed any more.
  func uses(_ other: any RunStore) -> Bool { !isOver && store === other }

  private func release(hasStream: Bool = true) {
    guard !isOver else { return }
    isOver = true
    store.stopWatchingCancel(of: id)
    let tenure = tenure.take() ?? makeBriefTenure()
    if hasStream {
      tenure.release()
    } else {
      tenure.drop()
      place?.deleted()
    }
    place = nil
    log.close()
    let host = run?.host
    run = nil
    host?.runLeft()
  }
}

extension RunOwnership: CancelHandler {
  func runWasCancelled(_ run: RunID) { self.run?.end(.cancelled, reason: EndReason.clientAsked.text) }
}
