/// What a client makes of an event stream, by WHATWG HTML 9.2.6: the other side's view of what the gateway sends.
package enum EventSourceClient {
  package struct Message: Equatable, CustomStringConvertible {
    package var type: String
    package var data: [UInt8]
    package var lastEventID: [UInt8]

    package var text: String { String(decoding: data, as: UTF8.self) }
    package var description: String { "\(type): \(text) #\(String(decoding: lastEventID, as: UTF8.self))" }
  }

  /// The messages that `stream` gives; one that is not closed by a blank line is discarded.
  package static func messages(in stream: [UInt8]) -> [Message] {
    var messages: [Message] = []
    var (type, data, id): (String, [[UInt8]], [UInt8]) = ("", [], [])
    for line in lines(of: stream) {
      guard !line.isEmpty else {
        if !data.isEmpty {
          let message = Message(
            type: type.isEmpty ? "message" : type, data: Array(data.joined(separator: [0x0A])), lastEventID: id)
          messages.append(message)
        }
        (type, data) = ("", [])
        continue
      }
      let colon = line.firstIndex(of: 0x3A) ?? line.endIndex
      var value = line[colon...].dropFirst()
      if value.first == 0x20 { value = value.dropFirst() }
      switch String(decoding: line[..<colon], as: UTF8.self) {
      case "data": data.append(Array(value))
      case "event": type = String(decoding: value, as: UTF8.self)
      case "id" where !value.contains(0): id = Array(value)
      default: break
      }
    }
    return messages
  }

  /// The lines that are closed, without their endings.
  package static func lines(of stream: [UInt8]) -> [[UInt8]] {
    var lines: [[UInt8]] = []
    var line: [UInt8] = []
    var endedInCR = false
    for byte in stream.starts(with: [0xEF, 0xBB, 0xBF]) ? stream[3...] : stream[...] {
      switch byte {
      case 0x0A where endedInCR: endedInCR = false
      case 0x0A, 0x0D:
        lines.append(line)
        line = []
        endedInCR = byte == 0x0D
      default:
        line.append(byte)
        endedInCR = false
      }
    }
    return lines
  }

  /// How often a client would dispatch that, as some libraries do, dispatches on every blank line once it has seen an
  /// id, a type or a reconnection time, and then fails for want of data.
  package static func emptyDispatches(in stream: [UInt8]) -> Int {
    var count = 0
    var (hasData, hasOther, hasID) = (false, false, false)
    for line in lines(of: stream) {
      if line.isEmpty {
        if !hasData, hasOther || hasID { count += 1 }
        (hasData, hasOther) = (false, false)
      } else if line.starts(with: Array("data".utf8)) {
        hasData = true
      } else if line.starts(with: Array("id".utf8)) {
        hasID = true
      } else if line[0] != 0x3A {
        hasOther = true
      }
    }
    return count
  }
}
