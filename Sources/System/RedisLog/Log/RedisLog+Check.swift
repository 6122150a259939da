import Bytes
import Runs
import Streams

// After a failure: what Redis has, and where to go on.
extension RedisLog {
  func check() {
    progress = .checking
    knownLosses = store.redis.counts.losses
    if doubts != checkedDoubts { dropIfBeheaded() }
    askedDoubts = doubts
    send(.check) { command in
      command.append("XREVRANGE")
      command.append(key: key)
      command.append("+")
      command.append("-")
      command.append("COUNT")
      command.append(1)
    }
  }

  /// Redis may have been emptied and have got what came later: the beginning is written again too, as far as it is kept.
  private func dropIfBeheaded() {
    guard memory.start == .beginning, storedID > .zero else { return }
    var first: EntryID?
    _ = memory.read(from: .beginning) { _, metadata in
      first = EntryID.zero.id(ofNext: metadata)
      return false
    }
    guard let first else { return }
    send(.other) { command in
      command.begin(RedisScript.dropIfBeheaded, keys: key)
      command.append { first.write(to: &$0) }
    }
  }

  /// Checks what Redis has, unless that is being checked or written to.
  func checkIfDoubtful() {
    guard doubts != checkedDoubts, !isClosed, storedID > .zero, case .idle = progress else { return }
    check()
  }

  func checked(_ result: Result<RedisReply, RedisError>) {
    guard case .success(let reply) = result, reply.kind == .array else { return fail() }
    checkedDoubts = askedDoubts
    var elements = reply.elements
    guard let element = elements.next() else { return resume(behind: .zero) }
    guard let entry = StoredEntry(element) else { return fail() }
    guard let end = EndRecord(entry) else {
      // A batch that was sent before Redis lost what stood in front of it, and was carried out after that.
      if let preceding = entry.preceding, preceding > storedID { return abandon() }
      return resume(behind: entry.id)
    }
    // The end may be this log's own, whose acknowledgement was lost.
    if let own = memory.end, entry.id == EntryID(memory.last, 0).ofEnd, end.isSame(as: own) {
      isEndStored = true
      progress = .idle
      return moveOn(to: memory.frontier, entry.id)
    }
    lose(to: end, behind: end.events)
  }

  /// Others have written what is no end.
  private func loseToStrangers() {
    let end = EndRecord(
      outcome: .gatewayError, reason: "others have written to the run's events", events: memory.last, bytes: 0,
      upstreamIsComplete: false)
    lose(to: end, behind: 0)
  }

  private func resume(behind id: EntryID) {
    guard let position = position(behind: id) else { return loseToStrangers() }
    guard position >= memory.start else { return abandon() }
    // The last entry is no end.
    isEndStored = false
    progress = .idle
    moveOn(to: position, id)
  }

  /// Where the entry with that id ends; in front of the start when that is evicted; `nil` when it never was.
  ///
  /// What Redis had acknowledged can be gone when it was restarted: it is sent again as far as memory has it.
  private func position(behind id: EntryID) -> LogPosition? {
    if id == storedID { return stored }
    var (place, found) = id > storedID ? (storedID, stored) : (EntryID(id.high, 0), memory.start)
    if id < storedID {
      if id == .zero { return memory.start }
      guard case .found(let position) = memory.position(after: id.high) else { return .beginning }
      found = position
    }
    while place < id {
      var next = place
      let behind = memory.read(from: found) { _, metadata in
        next = next.id(ofNext: metadata)
        return false
      }
      guard let behind, behind > found else { return nil }
      (place, found) = (next, behind)
    }
    return place == id ? found : nil
  }
}

extension RedisLog: StoreLifeObserver {
  package func storeMayHaveForgotten() {
    doubts &+= 1
    checkIfDoubtful()
  }
}

extension EndRecord {
  /// The reason may have been shortened for the store.
  fileprivate func isSame(as other: EndRecord) -> Bool {
    outcome == other.outcome && events == other.events && bytes == other.bytes
  }
}
