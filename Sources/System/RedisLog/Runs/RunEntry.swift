import Bytes
import JSON
import Streams

/// One entry of a run's stream, as it lies in an answer: see "Runs in Redis" in `docs/protocol.md`.
struct RunEntry {
  let id: EntryID
  /// The bytes of a block as they are to be delivered: what a gateway wrote.
  private(set) var block: RedisReply?
  private(set) var kind: RedisReply?
  private(set) var mark: RedisReply?
  /// The parts of an event: what a worker wrote.
  private(set) var event: RedisReply?
  private(set) var data: RedisReply?
  private(set) var eventID: RedisReply?
  private(set) var end: RedisReply?
  private(set) var reason: RedisReply?

  /// Reads `[id, [name, value, …]]`; `nil` when it is something else.
  init?(_ reply: RedisReply) {
    guard let (id, fields) = reply.firstTwo, let id = id.withBytes({ EntryID(parsing: $0) }) else { return nil }
    self.id = id
    var elements = fields.elements
    while let name = elements.next(), let value = elements.next() { note(value, under: name) }
  }

  private mutating func note(_ value: RedisReply, under name: RedisReply) {
    name.withBytes { name in
      if name.equals("b") {
        block = value
      } else if name.equals("data") {
        data = value
      } else if name.equals("event") {
        event = value
      } else if name.equals("id") {
        eventID = value
      } else if name.equals("end") {
        end = value
      } else if name.equals("k") {
        kind = value
      } else if name.equals("m") {
        mark = value
      } else if name.equals("reason") {
        reason = value
      }
    }
  }

  /// What a gateway's block is.
  var head: EntryHead {
    var kind = id.low == 0 ? EntryKind.event : .other
    if let letter = self.kind?.withBytes({ $0.isEmpty ? 0 : $0[0] }) { kind = EntryKind(letter: letter) ?? kind }
    let mark = EventMark(rawValue: UInt8(clamping: mark?.withBytes { $0.decimalValue } ?? 0))
    return EntryHead(number: id.high, kind: kind, mark: mark)
  }

  /// Writes a worker's fields as a block.
  func writeBlock(to out: inout ByteBuffer) {
    writeLine("event: ", event, to: &out)
    writeLine("id: ", eventID, to: &out)
    guard let data else { return out.append("data: \n\n") }
    data.withBytes { data in
      var start = 0
      while true {
        let end = data.firstIndex(ofEither: 0x0A, or: 0x0D, from: start)
        out.append("data: ")
        out.append(data.extracting(start..<end))
        out.append(0x0A)
        if end == data.count { break }
        let isPair = data[end] == 0x0D && end + 1 < data.count && data[end + 1] == 0x0A
        start = end + (isPair ? 2 : 1)
      }
    }
    out.append(0x0A)
  }

  /// A type or an id with a line ending in it would be lines of its own: it is left out.
  private func writeLine(_ name: StaticString, _ value: RedisReply?, to out: inout ByteBuffer) {
    value?.withBytes { bytes in
      guard !bytes.isEmpty, bytes.firstIndex(of: 0) == nil,
        bytes.firstIndex(ofEither: 0x0A, or: 0x0D, from: 0) == bytes.count
      else { return }
      out.append(name)
      out.append(bytes)
      out.append(0x0A)
    }
  }
}

extension EntryKind {
  /// What stands in the field `k`; `nil` where the id says enough.
  var letter: StaticString? {
    switch self {
    case .event, .other: nil
    case .unterminated: "u"
    case .partial: "p"
    case .filler: "f"
    }
  }

  init?(letter: UInt8) {
    switch letter {
    case UInt8(ascii: "u"): self = .unterminated
    case UInt8(ascii: "p"): self = .partial
    case UInt8(ascii: "f"): self = .filler
    default: return nil
    }
  }
}

extension EndRecord {
  /// Writes the one-line JSON of the field `end`.
  func write(to out: inout ByteBuffer) {
    out.append("{\"outcome\":\"")
    out.append(outcome.rawValue)
    out.append("\",\"reason\":")
    out.append(jsonString: reason, limit: 1024)
    out.append(",\"events\":")
    out.append(decimal: events)
    out.append(",\"bytes\":")
    out.append(decimal: bytes)
    out.append(upstreamIsComplete ? ",\"complete\":true}" : ",\"complete\":false}")
  }

  /// Reads an entry's end: a gateway's JSON, or a worker's word with a `reason` beside it.
  ///
  /// - Parameters:
  ///   - events: counted so far, where the record does not tell.
  ///   - bytes: the same.
  /// - Returns: `nil` when the entry is no end. An end that can't be understood is one all the same.
  init?(_ entry: RunEntry, events: UInt64 = 0, bytes: UInt64 = 0) {
    guard let end = entry.end else { return nil }
    let text = end.bytes
    if text.first == UInt8(ascii: "{"), let json = try? JSONValue(parsing: text) {
      self.init(json, events: events, bytes: bytes)
      return
    }
    let word = String(decoding: text.prefix(64), as: UTF8.self)
    let outcome = Outcome(rawValue: word)
    let usual = outcome == nil ? "the worker ended the run: \(word)" : "the worker ended the run"
    self.init(
      outcome: outcome ?? .incomplete, reason: entry.reason?.text ?? usual, events: events, bytes: bytes,
      upstreamIsComplete: outcome?.isCleanEnd ?? true)
  }

  private init(_ json: JSONValue, events: UInt64, bytes: UInt64) {
    let outcome = (json["outcome"]?.string).flatMap { Outcome(rawValue: $0) } ?? .gatewayError
    self.init(
      outcome: outcome, reason: json["reason"]?.string ?? "",
      events: (json["events"]?.integer).flatMap(UInt64.init(exactly:)) ?? events,
      bytes: (json["bytes"]?.integer).flatMap(UInt64.init(exactly:)) ?? bytes,
      upstreamIsComplete: json["complete"]?.bool ?? false)
  }
}
