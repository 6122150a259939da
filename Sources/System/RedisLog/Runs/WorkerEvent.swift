import Bytes
import Streams

/// An event in parts, as workers tell it.
struct WorkerEvent {
  var type: [UInt8] = []
  var data: [UInt8] = []
  var id: [UInt8] = []

  init(data: [UInt8]) {
    self.data = data
  }

  init(type: String, data: [UInt8], id: String = "") {
    self.type = Array(type.utf8)
    self.data = data
    self.id = Array(id.utf8)
  }

  func write(to out: inout ByteBuffer) {
    Self.writeLine("event: ", type.span, to: &out)
    Self.writeLine("id: ", id.span, to: &out)
    Self.writeData(data.span, to: &out)
    out.append(0x0A)
  }

  /// One line. A type or an id with a line ending in it would be lines of its own: it is left out.
  static func writeLine(_ name: StaticString, _ value: Span<UInt8>, to out: inout ByteBuffer) {
    guard !value.isEmpty, value.firstIndex(of: 0) == nil,
      value.firstIndex(ofEither: 0x0A, or: 0x0D, from: 0) == value.count
    else { return }
    out.append(name)
    out.append(value)
    out.append(0x0A)
  }

  /// A line for each line of `data`, and one for none.
  static func writeData(_ data: Span<UInt8>, to out: inout ByteBuffer) {
    var start = 0
    while true {
      let end = data.firstIndex(ofEither: 0x0A, or: 0x0D, from: start)
      out.append("data: ")
      out.append(data.extracting(start..<end))
      out.append(0x0A)
      if end == data.count { return }
      let isPair = data[end] == 0x0D && end + 1 < data.count && data[end + 1] == 0x0A
      start = end + (isPair ? 2 : 1)
    }
  }
}

extension EndRecord {
  /// The end that a worker words: one of the outcomes, or a word of its own.
  init(workerWord word: String, reason: String?, events: UInt64, bytes: UInt64) {
    let word = String(word.prefix(64))
    let outcome = Outcome(rawValue: word)
    let usual = outcome == nil ? "the worker ended the run: \(word)" : "the worker ended the run"
    self.init(
      outcome: outcome ?? .incomplete, reason: reason ?? usual, events: events, bytes: bytes,
      upstreamIsComplete: outcome?.isCleanEnd ?? true)
  }
}
