import Bytes
import JSON
import Runs
import Streams

/// One entry of a run's stream, as it lies in an answer: see "Runs in Redis" in `docs/protocol.md`.
struct StoredEntry {
  let id: EntryID
  private let fields: RedisReply
  /// The bytes of a block as they are to be delivered: what a gateway wrote.
  private(set) var block: RedisReply?
  /// Behind which entry several blocks begin that a gateway wrote together; `nil` when there is one, or none.
  private(set) var preceding: EntryID?
  private(set) var kind: RedisReply?
  private(set) var mark: RedisReply?
  /// The parts of an event: what a worker wrote.
  private(set) var event: RedisReply?
  private(set) var data: RedisReply?
  private(set) var eventID: RedisReply?
  private(set) var end: RedisReply?
  private(set) var reason: RedisReply?
  /// Beside a gateway's end: there never was a stream.
  private(set) var hasNoStream = false

  /// Reads `[id, [name, value, …]]`; `nil` when it is something else.
  init?(_ reply: RedisReply) {
    guard let (id, fields) = reply.firstTwo, let id = id.withBytes({ EntryID(parsing: $0) }) else { return nil }
    self.id = id
    self.fields = fields
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
      } else if name.equals("a") {
        preceding = value.withBytes { EntryID(parsing: $0) }
      } else if name.equals("none") {
        hasNoStream = true
      }
    }
  }

  /// Whether it has the first block of a gateway's run.
  var isFirst: Bool { preceding.map { $0 == .zero } ?? (id <= EntryID(1, 0)) }

  /// What a gateway's block is.
  var metadata: EntryMetadata {
    var kind = id.low == 0 ? EntryKind.event : .other
    if let letter = self.kind?.withBytes({ $0.isEmpty ? 0 : $0[0] }) { kind = EntryKind(letter: letter) ?? kind }
    let mark = EventMark(rawValue: UInt8(clamping: mark?.withBytes { $0.decimalValue } ?? 0))
    return EntryMetadata(number: id.high, kind: kind, mark: mark)
  }

  /// Lends the blocks that a gateway wrote together, with the ids that they would have alone, until `body` wants no more.
  ///
  /// - Returns: whether they are what a gateway writes. What was lent before that turned out may be.
  func readBlocks(after preceding: EntryID, _ body: (Span<UInt8>, EntryMetadata, EntryID) -> Bool) -> Bool {
    var id = preceding
    var number: UInt64?
    var bytes: RedisReply?
    var wantsMore = true
    var elements = fields.elements
    while wantsMore, let name = elements.next(), let value = elements.next() {
      let isFine = name.withBytes { name in
        if name.equals("n") {
          number = value.withBytes { $0.unsignedValue }
        } else if name.equals("b") {
          bytes = value
        } else if name.equals("w") {
          guard let number, let bytes else { return false }
          return bytes.withBytes { bytes in
            value.withBytes { words in
              LogPiece.read(bytes, words: words, after: number) { block, metadata in
                id = id.id(ofNext: metadata)
                wantsMore = body(block, metadata, id)
                return wantsMore
              }
            }
          }
        }
        return true
      }
      guard isFine else { return false }
    }
    return !wantsMore || (id == self.id && id > preceding)
  }

  /// Writes a worker's fields as a block.
  func writeBlock(to out: inout ByteBuffer) {
    event?.withBytes { WorkerEvent.writeLine("event: ", $0, to: &out) }
    eventID?.withBytes { WorkerEvent.writeLine("id: ", $0, to: &out) }
    if let data {
      data.withBytes { WorkerEvent.writeData($0, to: &out) }
    } else {
      out.append("data: \n")
    }
    out.append(0x0A)
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
  init?(_ entry: StoredEntry, events: UInt64 = 0, bytes: UInt64 = 0) {
    guard let end = entry.end else { return nil }
    let text = end.bytes
    if text.first == UInt8(ascii: "{"), let json = try? JSONValue(parsing: text) {
      self.init(json, events: events, bytes: bytes)
      return
    }
    self.init(
      workerWord: String(decoding: text, as: UTF8.self), reason: entry.reason?.text, events: events, bytes: bytes)
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
