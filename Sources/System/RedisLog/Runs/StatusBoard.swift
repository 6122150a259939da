import Loop
package import Runs
package import Streams
package import Time

/// Tells all replicas how this loop's runs stand. What changes is written at the next tick, once however often it has
/// changed, but the first reader of another's run at once: its owner must know before it hears that its own has left.
/// Counts of readers hold as long as the loop's lease does, so that those of a gateway that died are forgotten.
package final class StatusBoard {
  private struct Entry {
    var status: RunStatus
    var isDirty = true
  }

  private static let pauseAfterFailure = Nanoseconds.milliseconds(500)

  private let store: RunRecords
  private var entries: [RunID: Entry] = [:]
  private var dirty: [RunID] = []
  private var prolonged: MonotonicTime
  private var handle: DeadlineHandle?
  private var isClosed = false

  package init(store: RunRecords) {
    self.store = store
    prolonged = store.redis.loop.now
  }

  /// This loop among all that count readers.
  private var place: String { store.gatewayLease.place }

  /// Notes how a run stands here. Without readers it is forgotten here as soon as that is written.
  package func post(_ run: RunID, _ status: RunStatus) {
    guard !isClosed else { return }
    store.gatewayLease.add(self)
    if let entry = entries[run] {
      if entry.status == status { return }
      if !entry.isDirty { dirty.append(run) }
      entries[run] = Entry(status: status)
    } else if status.progress == nil {
      entries[run] = Entry(status: status)
      write(run)
    } else {
      entries[run] = Entry(status: status)
      dirty.append(run)
    }
    let loop = store.redis.loop
    if let handle { loop.deadlines.move(handle, to: loop.now) } else { handle = loop.deadlines.add(self, at: loop.now) }
  }

  /// Notes what a reader here wants to become of a run that nobody reads.
  package func post(_ run: RunID, wish: DisconnectPolicy) { store.note(wish, of: run) }

  /// How the run stands, but for this loop's readers; `nil` when that can't be found out.
  package func readersElsewhere(of run: RunID, _ completion: @escaping (RunStatus?) -> Void) {
    store.standing(of: run, without: place) { [store] result in
      // The lease of a loop that has yet to find Redis again may have run out, and its readers are still there.
      completion(store.redis.hasJustReturned ? nil : try? result.get().status)
    }
  }

  package func close() {
    isClosed = true
    store.gatewayLease.remove(self)
    if let handle { store.redis.loop.deadlines.remove(handle) }
    handle = nil
    entries = [:]
    dirty = []
  }

  private func write(_ run: RunID) {
    guard let entry = entries[run] else { return }
    entries[run]?.isDirty = false
    store.note(entry.status, of: run, from: place) { [weak self] answer in
      self?.wrote(run, entry.status, answer)
    }
  }

  /// Only what is noted is forgotten: a reader that stays behind would keep its run going for nobody.
  private func wrote(_ run: RunID, _ status: RunStatus, _ answer: StatusAnswer) {
    guard let entry = entries[run], entry.status == status, !entry.isDirty else { return }
    switch answer {
    case .noted:
      if status.readers == 0 { entries[run] = nil }
      return
    case .again: return write(run)
    case .failed: break
    }
    entries[run]?.isDirty = true
    dirty.append(run)
    let loop = store.redis.loop
    if let handle { loop.deadlines.move(handle, to: loop.now + Self.pauseAfterFailure) }
  }
}

extension StatusBoard: DeadlineMember, GatewayLeaseMember {
  func mustAssert() {
    for run in Array(entries.keys) { write(run) }
  }

  package func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    // What is kept must not run out while it holds.
    if now - prolonged >= store.settings.prolonging {
      prolonged = now
      dirty = Array(entries.keys)
    }
    let due = dirty
    dirty = []
    for run in due { write(run) }
    guard entries.isEmpty else { return prolonged + store.settings.prolonging }
    handle = nil
    return nil
  }
}
