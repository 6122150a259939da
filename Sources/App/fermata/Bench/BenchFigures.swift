import Time

/// The figures of one run of one scenario with one subject.
struct BenchFigures {
  /// Processor time of the server while it was measured; `nil` where there is no server.
  var cpu: Nanoseconds?
  var events = 0
  var streams = 0
  var failures = 0
  var latencyMedian = Nanoseconds.zero
  var latency99 = Nanoseconds.zero
  /// Growth of the server's resident memory from before the load to its end.
  var memory: Int?

  /// Processor time in microseconds for one unit of `scenario`; `nil` when there is nothing to divide.
  func cost(_ scenario: BenchScenario) -> Double? {
    let units = scenario == .churn ? streams : events
    guard let cpu, units > 0 else { return nil }
    return Double(cpu.value) / 1000 / Double(units)
  }
}
