import Loop
package import Runs
package import Streams
package import Time

/// Tells all replicas how this loop's runs stand. What changes is written at the next tick, once however often it has
/// changed, but the first reader of another's run at once: its owner must know before it hears that its own has left.
/// Counts of readers are confirmed now and then, so that those of a gateway that died are forgotten.
package final class StatusBoard {
  private struct Entry {
    var status: RunStatus
    var isDirty = true
  }

  private let store: RunRecords
  /// This loop among all that count readers.
  private let place: String
  private var entries: [RunID: Entry] = [:]
  private var dirty: [RunID] = []
  private var confirmed: MonotonicTime
  private var handle: DeadlineHandle?

  init(store: RunRecords) {
    self.store = store
    place = String(UInt64.random(in: .min ... .max), radix: 36)
    confirmed = store.redis.loop.now
  }

  /// How often counts are confirmed.
  private var interval: Nanoseconds { store.settings.lease }
  private var life: Int { 3 * RunRecords.milliseconds(interval) }

  /// Notes how a run stands here. Without readers it is forgotten here as soon as that is written.
  package func post(_ run: RunID, _ status: RunStatus) {
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
    if let handle { store.redis.loop.deadlines.remove(handle) }
    handle = nil
    entries = [:]
    dirty = []
  }

  private func write(_ run: RunID) {
    guard let entry = entries[run] else { return }
    store.note(entry.status, of: run, from: place, life: life)
    if entry.status.readers == 0 { entries[run] = nil } else { entries[run]?.isDirty = false }
  }
}

extension StatusBoard: DeadlineMember {
  package func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    if now - confirmed >= interval {
      confirmed = now
      for run in Array(entries.keys) { write(run) }
    } else {
      for run in dirty { write(run) }
    }
    dirty.removeAll()
    guard entries.isEmpty else { return confirmed + interval }
    handle = nil
    return nil
  }
}
