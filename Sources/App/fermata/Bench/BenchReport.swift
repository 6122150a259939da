import Harness
import JSON
import Time

/// The medians of a scenario's runs, as a table or as JSON.
struct BenchReport {
  let scenario: BenchScenario
  let title: String
  let streams: Int
  /// In the order of the table; a subject that could not be measured has no runs and says why.
  var rows: [Row]

  struct Row {
    let subject: BenchSubject
    /// Another build of Fermata, where that is what was measured.
    var before: String?
    var runs: [BenchFigures] = []
    var failure: String?

    /// As the table calls it.
    var title: String { before == nil ? subject.title : "\(subject.title) before" }
  }

  // MARK: Figures

  private func cost(_ row: Row) -> Double? {
    median(row.runs.compactMap { $0.cost(scenario) })
  }

  /// The median of the rounds' ratios: what disturbed one round disturbed both its runs.
  private func ratio(_ row: Row, to other: BenchSubject) -> Double? {
    rows.first { $0.subject == other && $0.before == nil }.flatMap { ratio(row, to: $0) }
  }

  /// To the other build of the same.
  private func ratioToBefore(_ row: Row) -> Double? {
    rows.first { $0.subject == row.subject && $0.before != nil }.flatMap { ratio(row, to: $0) }
  }

  private func ratio(_ row: Row, to reference: Row) -> Double? {
    median(
      zip(row.runs, reference.runs).compactMap { run, base in
        guard let cost = run.cost(scenario), let base = base.cost(scenario), base > 0 else { return nil }
        return cost / base
      })
  }

  private func milliseconds(_ row: Row, _ latency: (BenchFigures) -> Nanoseconds) -> Double? {
    median(row.runs.map { latency($0).milliseconds })
  }

  private func memory(_ row: Row) -> Double? {
    median(row.runs.compactMap(\.memory).map { Double($0) / 1024 / Double(max(1, streams)) })
  }

  private func median(_ values: [Double]) -> Double? {
    let sorted = values.sorted()
    guard !sorted.isEmpty else { return nil }
    let middle = sorted.count / 2
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
  }

  // MARK: Text

  var text: String {
    let header = [
      "", "CPU us/\(scenario.unit)", "x floor", "x nginx", "x haproxy", "x graceful", "x before", "p50 ms", "p99 ms",
      "KiB/stream", "failures",
    ]
    let lines = [header] + rows.map(cells)
    let widths = header.indices.map { column in lines.map { $0.count > column ? $0[column].count : 0 }.max() ?? 0 }
    return title + "\n" + lines.map { line in "  " + pad(line, widths) }.joined(separator: "\n") + "\n"
  }

  private func cells(_ row: Row) -> [String] {
    if let failure = row.failure, row.runs.isEmpty { return [row.title, failure] }
    return [
      row.title, number(cost(row), 2), number(ratio(row, to: .floor), 2), number(ratio(row, to: .nginx), 2),
      number(ratio(row, to: .haproxy), 2), number(ratio(row, to: .graceful), 2), number(ratioToBefore(row), 2),
      number(milliseconds(row, \.latencyMedian), 3), number(milliseconds(row, \.latency99), 3),
      scenario.isIdle ? number(memory(row), 2) : "-", "\(row.runs.reduce(0) { $0 + $1.failures })",
    ]
  }

  /// The first column to the left, numbers to the right; a reason instead of numbers as it is.
  private func pad(_ cells: [String], _ widths: [Int]) -> String {
    if cells.count == 2 { return cells[0].padded(to: widths[0]) + "  " + cells[1] }
    return cells.enumerated().map { column, cell in
      column == 0 ? cell.padded(to: widths[0]) : String(repeating: " ", count: widths[column] - cell.count) + cell
    }.joined(separator: "  ")
  }

  private func number(_ value: Double?, _ digits: Int) -> String {
    guard let value else { return "-" }
    var scale = 1
    for _ in 0..<digits { scale *= 10 }
    let scaled = Int((value.magnitude * Double(scale)).rounded())
    let fraction = String(scaled % scale)
    let zeros = String(repeating: "0", count: digits - fraction.count)
    return (value < 0 && scaled > 0 ? "-" : "") + "\(scaled / scale).\(zeros)\(fraction)"
  }

  // MARK: JSON

  /// One object.
  var json: String {
    let rows = rows.map { row in
      let figures = [
        "\"cpuMicroseconds\":\(json(cost(row)))", "\"toFloor\":\(json(ratio(row, to: .floor)))",
        "\"toNginx\":\(json(ratio(row, to: .nginx)))",
        "\"toHaproxy\":\(json(ratio(row, to: .haproxy)))", "\"toGraceful\":\(json(ratio(row, to: .graceful)))",
        "\"toBefore\":\(json(ratioToBefore(row)))",
        "\"p50Milliseconds\":\(json(milliseconds(row, \.latencyMedian)))",
        "\"p99Milliseconds\":\(json(milliseconds(row, \.latency99)))", "\"kibibytesPerStream\":\(json(memory(row)))",
        "\"failures\":\(row.runs.reduce(0) { $0 + $1.failures })",
        "\"error\":\(json(row.failure))",
        "\"runs\":[\(row.runs.map(json).joined(separator: ","))]",
      ]
      let build = row.before.map { "\"before\":\(json($0))," } ?? ""
      return "{\"subject\":\"\(row.subject.rawValue)\",\(build)\(figures.joined(separator: ","))}"
    }
    return "{\"scenario\":\"\(scenario.rawValue)\",\"streams\":\(streams),\"per\":\"\(scenario.unit)\","
      + "\"subjects\":[\(rows.joined(separator: ","))]}"
  }

  private func json(_ run: BenchFigures) -> String {
    "{\"cpuNanoseconds\":\(run.cpu.map { "\($0.value)" } ?? "null"),\"events\":\(run.events),\"streams\":\(run.streams),"
      + "\"failures\":\(run.failures),\"p50Nanoseconds\":\(run.latencyMedian.value),"
      + "\"p99Nanoseconds\":\(run.latency99.value),\"memoryBytes\":\(run.memory.map { "\($0)" } ?? "null")}"
  }

  private func json(_ text: String?) -> String {
    text.map { String(decoding: JSONValue.string($0).serialized(), as: UTF8.self) } ?? "null"
  }

  private func json(_ value: Double?) -> String {
    value.map { "\($0)" } ?? "null"
  }
}
