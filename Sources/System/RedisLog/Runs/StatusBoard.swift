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

  private let store: RunRecords
  private var entries: [RunID: Entry] = [:]
  private var dirty: [RunID] = []
  private var prolonged: MonotonicTime
  private var handle: DeadlineHandle?

  package init(store: RunRecords) {
    self.store = store
    prolonged = store.redis.loop.now
  }

  /// This loop among all that count readers.
  private var place: String { store.gatewayLease.place }

  /// Notes how a run stands here. Without readers it is forgotten here as soon as that is written.
  package func post(_ run: RunID, _ status: RunStatus) {
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
    store.standing(of: run, without: place) { result in completion(try? result.get().status) }
  }

  package func close() {
    store.gatewayLease.remove(self)
    if let handle { store.redis.loop.deadlines.remove(handle) }
    handle = nil
    entries = [:]
    dirty = []
  }

  private func write(_ run: RunID) {
    guard let entry = entries[run] else { return }
    store.note(entry.status, of: run, from: place)
    if entry.status.readers == 0 { entries[run] = nil } else { entries[run]?.isDirty = false }
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
      for run in Array(entries.keys) { write(run) }
    } else {
      for run in dirty { write(run) }
    }
    dirty.removeAll()
    guard entries.isEmpty else { return prolonged + store.settings.prolonging }
    handle = nil
    return nil
  }
}
