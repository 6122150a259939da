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

  @Test func `every id is found, before and after the first look-up`() {
    let log = makeLog(events: 20_000, budget: CountingBudget(1 << 26))
    for number in [1, 19_999, 500, 10_000, 1] {
      let position = log.position(afterBackendID: Array("own-\(number)".utf8).span)
      #expect(position.map { log.entries(from: $0, atMost: 1).seen.first?.head.number } == UInt64(number + 1))
    }
    #expect(log.position(afterBackendID: Array("own-0".utf8).span) == nil)
  }

  @Test func `a look-up in a long run costs about as much as in a short one`() {
    let ids: [[UInt8]] = (0..<200).map { Array("unknown-\($0)".utf8) }
    func cost(events: Int) -> Duration {
      let log = makeLog(events: events, budget: CountingBudget(1 << 28))
      let first = ids[0]
      _ = log.position(afterBackendID: first.span)
      return ContinuousClock().measure {
        for id in ids {
          let position = log.position(afterBackendID: id.span)
          #expect(position == nil)
        }
      }
    }
    // Forty times the events; a scan would cost forty times as much.
    let (short, long) = (cost(events: 5_000), cost(events: 200_000))
    #expect(long < short * 15, "\(short) \(long)")
  }

  @Test func `what look-ups keep is counted and given back`() {
    let budget = CountingBudget(1 << 26)
    let log = makeLog(events: 20_000, budget: budget)
    let before = budget.taken
    _ = log.position(afterBackendID: Array("unknown".utf8).span)
    #expect(budget.taken > before && budget.taken == log.bytes)
    log.retire()
    #expect(budget.taken == 0)
  }
}
