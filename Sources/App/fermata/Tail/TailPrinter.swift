import JSON

/// Writes events to standard output and remarks to standard error.
struct TailPrinter {
  let isJSON: Bool
  private let style = TerminalStyle.standardOutput
  private var lastID = ""

  init(isJSON: Bool) {
    self.isJSON = isJSON
  }

  /// - Parameter id: the last event id that is in force; an event of the gateway's own has none.
  mutating func event(type: String, data: String, id: String?) {
    let isNew = id.map { $0 != lastID } ?? false
    if let id { lastID = id }
    if isJSON {
      var object = JSONObject()
      object["event"] = .string(type)
      object["id"] = isNew ? id.map { .string($0) } : nil
      object["data"] = .string(data)
      return Terminal.print(JSONValue.object(object).text())
    }
    let lines = data.split(separator: "\n", omittingEmptySubsequences: false)
    let name = type.printable.padded(to: 12)
    for (index, line) in lines.enumerated() {
      let front = index == 0 ? style.bold(name) : String(repeating: " ", count: name.count)
      Terminal.print(front + (id == nil ? style.dim(String(line).printable) : String(line).printable))
    }
  }

  func note(_ text: String) {
    if !isJSON { Terminal.error("fermata tail: " + text.printable) }
  }

  func conclude(_ kind: String, _ text: String, events: Int, lastEventID: String) {
    guard isJSON else { return note(text) }
    let object: JSONValue = [
      "conclusion": .string(kind), "text": .string(text), "events": JSONValue(events),
      "lastEventId": .string(lastEventID),
    ]
    Terminal.print(object.text())
  }
}

extension String {
  /// Without characters that would command the terminal: a server's bytes are nobody's to trust.
  fileprivate var printable: String {
    String(
      String.UnicodeScalarView(
        unicodeScalars.map { $0.value < 0x20 && $0 != "\t" || (0x7F..<0xA0).contains($0.value) ? "\u{FFFD}" : $0 }))
  }
}
