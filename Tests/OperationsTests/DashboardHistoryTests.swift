import Gateway
import Operations
import Testing
import Time

/// The numbers that the dashboard makes of what the workers count.
struct DashboardHistoryTests {
  private func tally(_ times: [Double]) -> RouteTally {
    var tally = RouteTally()
    for time in times { tally.firstEvents[RouteTally.bounds.firstIndex { time <= $0 } ?? RouteTally.bounds.count] += 1 }
    return tally
  }

  @Test(
    arguments: [
      ([], nil), ([10], 47.5), ([50], 47.5), ([51], 97.5), ([200_000], 120_000),
      (Array(repeating: 10, count: 95) + Array(repeating: 900, count: 5), 50),
      (Array(repeating: 10, count: 90) + Array(repeating: 900, count: 10), 750),
    ] as [([Double], Double?)])
  func `the 95th percentile is interpolated in its bucket`(times: [Double], wanted: Double?) throws {
    let found = tally(times).firstEventP95
    guard let wanted else { return #expect(found == nil) }
    #expect(abs(try #require(found) - wanted) < 0.001)
  }

  @Test func `what came before the first point counts`() {
    var history = DashboardHistory()
    var sum = tally([100])
    (sum.judged, sum.bad) = (4, 3)
    history.add(["a": sum], open: 2, waiting: 1, at: WallTime(milliseconds: 0))
    #expect(history.points.last?.bad == 3 && history.points.last?.open == 2)
    #expect(history.recent("a", sum).bad == 3)
    #expect(history.recent("b", RouteTally()) == RouteTally())
  }

  @Test func `the numbers forget what is older than their windows, and the history keeps 900 points`() {
    var history = DashboardHistory()
    var sum = RouteTally()
    sum.bad = 5
    var seen: [Int] = []
    for second in 0..<1000 {
      if second == 500 { sum.bad = 6 }
      history.add(["a": sum], open: second, waiting: 0, at: WallTime(milliseconds: Int64(second) * 1000))
      seen.append(history.points.last?.bad ?? -1)
      #expect(history.points.count <= DashboardHistory.limit)
    }
    #expect(seen[0] == 5 && seen[59] == 5 && seen[61] == 0)
    #expect(seen[500] == 1 && seen[559] == 1 && seen[561] == 0)
    #expect(history.recent("a", sum).bad == 0)
    #expect(history.points.count == 900 && history.points.first?.open == 100)
    #expect(history.points(from: 998).map(\.open) == [998, 999])
    #expect(history.points(from: 0).count == 900, "only what is kept")
  }
}
