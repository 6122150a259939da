import Streams
import Testing

@Suite struct BackendIDLookupTests {
  /// A log of events with ids of the backend's own.
  private func makeLog(events: Int, budget: CountingBudget) -> MemoryLog {
    let log = MemoryLog(of: Play.stream, limits: MemoryLog.Limits(run: .max), budget: budget)
    for number in 1...events {
      log.append(SeenEntry(event: UInt64(number), "id: own-\(number)\ndata: \(number)\n\n"))
    }
    return log
  }

  @Test func `every id is found`() {
    let log = makeLog(events: 20_000, budget: CountingBudget(1 << 26))
    for number in [1, 19_999, 500, 10_000, 1] {
      let position = log.position(afterBackendID: Array("own-\(number)".utf8).span)
      #expect(position.map { log.entries(from: $0, atMost: 1).seen.first?.metadata.number } == UInt64(number + 1))
    }
    #expect(log.position(afterBackendID: Array("own-0".utf8).span) == nil)
  }

  @Test func `the first look-up in a long run reads no more entries than one in a short run`() {
    func steps(_ log: MemoryLog, _ id: String) -> Int {
      let before = log.entriesRead
      _ = log.position(afterBackendID: Array(id.utf8).span)
      return log.entriesRead - before
    }
    // What the open segment and a false hit may hold, however long the run is.
    let largest = 6_000
    let shortLog = makeLog(events: 6_000, budget: CountingBudget(1 << 28))
    let longLog = makeLog(events: 100_000, budget: CountingBudget(1 << 28))
    // Both have more than one full segment, of a few thousand entries each.
    let short = (0..<10).map { steps(shortLog, "unknown-\($0)") }.max() ?? 0
    for number in 0..<10 {
      #expect(steps(longLog, "unknown-\(number)") <= largest)
      #expect(steps(longLog, "own-\(number * 10_000 + 1)") <= 2 * largest)
    }
    #expect(short > 0 && short <= largest)
  }

  @Test func `a look-up in a run without ids of the backend's own reads nothing`() {
    let log = MemoryLog(of: Play.stream)
    for number in 1...20_000 { log.append(SeenEntry(event: UInt64(number), "data: \(number)\n\n")) }
    #expect(log.position(afterBackendID: Array("7".utf8).span) == nil && log.entriesRead == 0)
  }

  @Test func `what is kept for look-ups is counted and given back`() {
    let budget = CountingBudget(1 << 26)
    let (log, bare) = (makeLog(events: 20_000, budget: budget), CountingBudget(1 << 26))
    let plain = MemoryLog(of: nil, limits: MemoryLog.Limits(run: .max), budget: bare)
    for number in 1...20_000 {
      plain.append(SeenEntry(event: UInt64(number), "xx: own-\(number)\ndata: \(number)\n\n"))
    }
    #expect(budget.taken == log.bytes && log.bytes > plain.bytes)
    // Two bytes for each id, and up to twice as many.
    #expect(log.bytes - plain.bytes <= 20_000 * 4)
    log.retire()
    #expect(budget.taken == 0)
  }

  @Test func `a log without memory for what speeds up look-ups finds its ids nevertheless`() {
    let budget = CountingBudget(70 << 10)
    let log = makeLog(events: 20_000, budget: budget)
    #expect(budget.most <= 70 << 10)
    let oldest = log.oldest ?? 0
    #expect(log.position(afterBackendID: Array("own-\(oldest + 1)".utf8).span) != nil)
    #expect(log.position(afterBackendID: Array("own-1".utf8).span) == nil)
  }
}
