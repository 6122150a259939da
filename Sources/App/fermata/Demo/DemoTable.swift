import Harness

/// The events of the backend's answer, one a line, and beside each what became of it at every client.
struct DemoTable {
  private struct Column {
    let heading: [String]
    /// A cell for each of the backend's events, one for `stream_end` and one for the sum.
    let cells: [Cell]

    var width: Int { (heading + cells.map(\.text)).map(\.count).max() ?? 0 }

    func padded(_ row: Int, _ style: TerminalStyle) -> String {
      style.toned(cells[row].text.padded(to: width), cells[row].tone)
    }
  }

  private struct Cell {
    var text: String
    var tone = TerminalStyle.Tone.plain
  }

  private let columns: [Column]

  init(_ cast: DemoCast) {
    columns = [
      Self.column("old client", "direct", cast.direct, leavesAtCompletion: true),
      Self.column("old client", "at legacy", cast.legacy, leavesAtCompletion: true),
      Self.column("old client", "at shield", cast.shield, leavesAtCompletion: true),
      Self.column("new client", "at graceful", cast.graceful, leavesAtCompletion: false),
    ]
  }

  func text(_ style: TerminalStyle) -> String {
    let labels = DemoAnswer.events.map { ($0.type, $0.data) } + [("stream_end", ""), ("got", "")]
    let nameWidth = (labels.map(\.0.count).max() ?? 0) + 2
    let dataWidth = labels.map(\.1.count).max() ?? 0
    var lines: [String] = []
    for (row, heading) in ["the backend sends", ""].enumerated() {
      lines.append(line(heading.padded(to: nameWidth + dataWidth), columns.map { $0.heading[row] }, style.bold))
    }
    for (row, label) in labels.enumerated() {
      // The stream's end and the sum are no events of the backend's.
      if row == DemoAnswer.events.count { lines.append("") }
      let front = label.0.padded(to: nameWidth) + style.dim(label.1.padded(to: dataWidth))
      lines.append(front + columns.map { "  " + $0.padded(row, style) }.joined())
    }
    lines.append(style.dim("The numbers say in which order a client got the events."))
    return lines.map(\.trimmedEnd).joined(separator: "\n")
  }

  private func line(_ front: String, _ texts: [String], _ tone: (String) -> String) -> String {
    front + zip(texts, columns).map { "  " + tone($0.padded(to: $1.width)) }.joined()
  }

  private static func column(
    _ who: String, _ how: String, _ result: ClientResult, leavesAtCompletion: Bool
  ) -> Column {
    let got = result.answerEvents
    var cells = DemoAnswer.events.enumerated().map { index, event in
      guard let place = got.firstIndex(where: { $0.type == event.type && $0.data == event.data }) else {
        return Cell(text: "lost", tone: .bad)
      }
      let leaves = leavesAtCompletion && index == DemoAnswer.completion
      return Cell(text: "\(place + 1)" + (leaves ? ", hangs up" : ""), tone: leaves ? .plain : .good)
    }
    let end = result.streamEnd
    cells.append(Cell(text: end.map { "\($0.outcome), \($0.events)" } ?? "-", tone: end == nil ? .dim : .good))
    let isWhole = got.count == DemoAnswer.events.count
    cells.append(Cell(text: "\(got.count) of \(DemoAnswer.events.count)", tone: isWhole ? .good : .bad))
    return Column(heading: [who, how], cells: cells)
  }
}

extension ClientResult {
  /// The backend's events as far as this client took them in: what its last read brought behind the completion event
  /// does not count for one that hung up there.
  var answerEvents: [ReceivedEvent] {
    let all = events.filter { $0.type != "stream_end" }
    guard end == .hungUp, let completion = all.firstIndex(where: { $0.type == "complete" }) else { return all }
    return Array(all[...completion])
  }

  /// What the stream's end said.
  var streamEnd: StreamEndReport? {
    events.last { $0.type == "stream_end" }.flatMap { StreamEndReport(parsing: $0.data) }
  }
}
