internal import Streams

extension MatrixReport {
  /// The grid for a terminal: a table per mode, and what every column is.
  package var grid: String {
    let names = rows.flatMap { row in transports.map { "\(row.client.id) \($0.id)" } }
    let width = (names.map(\.count).max() ?? 0) + 2
    var lines: [String] = []
    for mode in modes {
      lines.append(Self.column(mode.rawValue, width) + behaviours.map { Self.column($0.id, 8) }.joined())
      for line in self.lines(mode: mode) {
        let name = line.transport.id == "h1" ? line.row.client.id : "\(line.row.client.id) \(line.transport.id)"
        let cells = line.cells.map { Self.column($0.map(Self.text) ?? "", 8) }
        lines.append(Self.column(name, width) + cells.joined())
      }
      lines.append("")
    }
    for behaviour in behaviours { lines.append("\(behaviour.id)  \(behaviour.title)") }
    return lines.map(Self.trimmed).joined(separator: "\n")
  }

  private static func text(_ result: CellResult) -> String {
    result.isAsExpected ? result.verdict.rawValue : "\(result.verdict.rawValue)!"
  }

  private static func column(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(1, width - text.count))
  }

  private static func trimmed(_ text: String) -> String {
    String(text.reversed().drop { $0 == " " }.reversed())
  }
}
