/// An event as a client's parser dispatches it (WHATWG HTML, 9.2.6), read from a finished body in the simplest way.
package struct ReceivedEvent: Sendable, Equatable {
  /// `message` when the event names no type.
  package var type: String
  package var data: String
  package var id: String?

  package init(type: String = "message", data: String, id: String? = nil) {
    self.type = type
    self.data = data
    self.id = id
  }

  /// The events of a body, without one that its end cut short. Comments and empty blocks are no events.
  package static func all(in body: [UInt8]) -> [ReceivedEvent] {
    var events: [ReceivedEvent] = []
    var (type, data, id): (String, [String], String?) = ("", [], nil)
    for line in lines(of: body) {
      if line.isEmpty {
        if !data.isEmpty {
          events.append(
            ReceivedEvent(type: type.isEmpty ? "message" : type, data: data.joined(separator: "\n"), id: id))
        }
        (type, data, id) = ("", [], nil)
        continue
      }
      let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      let value = parts.count < 2 ? "" : String(parts[1].hasPrefix(" ") ? parts[1].dropFirst() : parts[1])
      switch parts[0] {
      case "event": type = value
      case "data": data.append(value)
      case "id": id = value
      default: break
      }
    }
    return events
  }

  /// The lines that are ended, by CRLF, LF or CR.
  private static func lines(of body: [UInt8]) -> [String] {
    var lines: [String] = []
    var line: [UInt8] = []
    var lastWasReturn = false
    let start = body.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    for byte in body[start...] {
      defer { lastWasReturn = byte == 0x0D }
      if byte == 0x0A && lastWasReturn { continue }
      if byte == 0x0A || byte == 0x0D {
        lines.append(String(decoding: line, as: UTF8.self))
        line = []
      } else {
        line.append(byte)
      }
    }
    return lines
  }
}
