import Loop
import Runs
import Time

/// Finds out for many runs together whether the gateways that own them are still there: of those that a loop follows, and
/// for a while of those that somebody has only asked for.
///
/// Which gateway has a run is read once; after that, few keys tell it for however many runs. Retained by its loop while
/// there is something to look for.
final class OwnerWatch {
  private struct Asked {
    let search: OwnerSearch
    var until: MonotonicTime
  }

  private static let interval = Nanoseconds.seconds(1)
  /// So many runs are looked after at a time for those who only ask.
  private static let mostAsked = 10_000

  private let store: RunRecords
  /// For the next check.
  private var due: [OwnerSearch] = []
  private var asked: [RunID: Asked] = [:]
  private var lastCheck: MonotonicTime
  private var handle: DeadlineHandle?
  private var isClosed = false

  private var loop: EventLoop { store.redis.loop }

  init(store: RunRecords) {
    self.store = store
    lastCheck = store.redis.loop.now
  }

  /// Has the run's owner looked for with the next check.
  func add(_ search: OwnerSearch) {
    guard !isClosed else { return }
    due.append(search)
    if handle == nil { handle = loop.deadlines.add(self, at: max(lastCheck + Self.interval, loop.now)) }
  }

  /// Somebody has asked for a run that has not ended. If its owner is gone, which shows within a lease, it is ended.
  func wasAsked(for run: RunID) {
    let until = loop.now + store.settings.lease + Self.interval + Self.interval
    if asked[run] != nil {
      if let known = asked[run]?.until { asked[run]?.until = max(known, until) }
      return
    }
    guard asked.count < Self.mostAsked, !isClosed else { return }
    let search = OwnerSearch(run, store: store)
    asked[run] = Asked(search: search, until: until)
    search.tell = { [weak self] in self?.found($0, run) }
    add(search)
  }

  private func found(_ finding: OwnerSearch.Finding, _ run: RunID) {
    switch finding {
    case .isThere: break
    case .isMissing:
      guard let known = asked[run], !known.search.isMissing else { return }
      // As long as it may take until it can be ended.
      let settings = store.settings
      asked[run]?.until = max(known.until, loop.now + settings.lease + settings.renewal + settings.prolonging)
    case .wasClosed(.success(.closed)), .wasClosed(.success(.hadEnded)): forget(run)
    case .wasClosed: break
    }
  }

  private func forget(_ run: RunID) {
    guard let search = asked.removeValue(forKey: run)?.search else { return }
    search.tell = nil
    due.removeAll { $0 === search }
  }

  func close() {
    isClosed = true
    due = []
    for run in Array(asked.keys) { forget(run) }
    if let handle { loop.deadlines.remove(handle) }
    handle = nil
  }

  // MARK: - Checking

  private func checkOwners() {
    let searches = due.filter { $0.tell != nil }
    due = []
    guard !searches.isEmpty else { return }
    let unsure = searches.filter(\.isUnsure)
    let sure = searches.filter { !$0.isUnsure }
    // In front of the gateways: an owner that has come back by then has left another name there.
    store.values(of: unsure.map { store.keys.owner(of: $0.run) }) { [self] owners in
      var known = sure
      for case (let search, .success(let owner)) in zip(unsure, owners) {
        search.ownerRead(owner)
        known.append(search)
      }
      checkGateways(of: known)
    }
  }

  /// A run of which Redis says nothing now is checked with the next check that it asks for.
  private func checkGateways(of searches: [OwnerSearch]) {
    store.living(Array(Set(searches.compactMap(\.place)))) { living in
      for search in searches {
        guard let place = search.place else {
          search.ownerChecked(false)
          continue
        }
        if let isThere = living[place] { search.ownerChecked(isThere) }
      }
    }
  }
}

extension OwnerWatch: DeadlineMember {
  func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    lastCheck = now
    checkOwners()
    for (run, known) in asked {
      if known.until <= now { forget(run) } else { due.append(known.search) }
    }
    if !due.isEmpty { return now + Self.interval }
    handle = nil
    return nil
  }
}
