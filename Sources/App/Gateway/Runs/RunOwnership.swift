import Loop
import Runs
import SSE
import Streams
import Time

/// What makes a run this gateway's among all replicas: its tenure, its log in the store, its ear for those who want it to
/// stop.
///
/// Over one lease (`watchAfterEnd`) after the run's end is in the store. A replica of the store that takes over in a
/// moment may not have the end, nor the run, and nobody else could give it to those who read elsewhere.
final class RunOwnership {
  let log: any SharedLog
  let store: any RunStore
  private let title: RunTitle
  // Held until it is over, not weakly: what is held weakly is dearer to retain, which every event of a run does.
  private var run: Run?
  private var tenure: (any RunTenure)?
  private(set) var isOver = false
  /// Until it is over, once the run's end is stored.
  private var lingering: DeadlineHandle?
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
    stopLingering()
    run = nil
    tenure = nil
  }

  /// Whether nothing is left to be stored, as far as is known.
  var isSettled: Bool { isOver || lingering != nil }

  /// The log has stored something.
  func logMoved() {
    guard !isOver, lingering == nil, let run else { return }
    guard log.isSettled || (log.hasEnd && !run.isDegraded) else { return }
    guard !run.context.isDraining else { return release() }
    let loop = run.context.loop
    tenure?.settle()
    lingering = loop.deadlines.add(self, at: loop.now + store.watchAfterEnd)
    run.host.runLeft()
  }

  /// The process ends soon: what is stored is not watched over any longer.
  func drainBegan() {
    if lingering != nil { release() }
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
    stopLingering()
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

  private func stopLingering() {
    if let handle = lingering.take() { run?.context.loop.deadlines.remove(handle) }
  }
}

extension RunOwnership: DeadlineMember {
  func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    // The store may have lost the end meanwhile, and be about to get it again.
    guard log.isSettled || run?.isDegraded == true else { return now + store.watchAfterEnd }
    lingering = nil
    release()
    return nil
  }
}

extension RunOwnership: CancelHandler {
  func runWasCancelled(_ run: RunID) { self.run?.end(.cancelled, reason: EndReason.clientAsked.text) }
}
