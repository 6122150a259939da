package import Bytes
package import Time

/// How much a log line matters. A threshold lets lines of its own level and above through.
package enum LogLevel: Int, Comparable, CaseIterable, Sendable {
  case debug
  case info
  case warning
  case error

  package static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

  /// The level of that name, or `nil`.
  package init?(name: String) {
    guard let level = Self.allCases.first(where: { "\($0)" == name }) else { return nil }
    self = level
  }

  var word: StaticString {
    switch self {
    case .debug: "debug"
    case .info: "info"
    case .warning: "warning"
    case .error: "error"
    }
  }
}

/// One line of JSON for the log, always one line and always valid whatever bytes come in as values.
///
/// ```
/// var line = LogLine(.info, "request_done", at: now)
/// line.field("streamId", id)
/// line.field("events", 57)
/// sink.write(line.finish())
/// ```
/// The event's name is constant text; data stands in the fields.
package struct LogLine: ~Copyable {
  /// The most bytes of one text value; the rest is cut off, with `…` in its place.
  package static let valueLimit = 1024

  private var buffer: ByteBuffer

  /// - Parameter buffer: memory to write into, such as that of an earlier line; what it holds stays in front.
  package init(
    _ level: LogLevel, _ event: StaticString, at time: WallTime, in buffer: consuming ByteBuffer = ByteBuffer()
  ) {
    self.buffer = buffer
    Self.writeHead(level, at: time, to: &self.buffer)
    begin(event: event)
  }

  /// For many lines of the same millisecond and level: `head` holds what `writeHead` writes.
  package init(_ event: StaticString, head: borrowing ByteBuffer, in buffer: consuming ByteBuffer) {
    self.buffer = buffer
    self.buffer.append(head)
    begin(event: event)
  }

  /// Appends what stands in front of the event's name.
  package static func writeHead(_ level: LogLevel, at time: WallTime, to out: inout ByteBuffer) {
    out.append("{\"time\":\"")
    out.append(timestamp: time)
    out.append("\",\"level\":\"")
    out.append(level.word)
    out.append("\",\"event\":\"")
  }

  private mutating func begin(event: StaticString) {
    buffer.append(event)
    buffer.append(UInt8(ascii: "\""))
  }

  @inline(__always)
  package mutating func field(_ name: StaticString, _ value: String) {
    begin(name)
    buffer.append(jsonString: value, limit: Self.valueLimit)
  }

  /// A word that needs no escaping, which is not checked.
  @inline(__always)
  package mutating func field(_ name: StaticString, word: String) {
    begin(name)
    buffer.append(UInt8(ascii: "\""))
    buffer.append(word)
    buffer.append(UInt8(ascii: "\""))
  }

  /// A text that `write` appends itself: ids and words that need no escaping, which is not checked.
  @inline(__always)
  package mutating func field(_ name: StaticString, writing write: (inout ByteBuffer) -> Void) {
    begin(name)
    buffer.append(UInt8(ascii: "\""))
    write(&buffer)
    buffer.append(UInt8(ascii: "\""))
  }

  @inline(__always)
  package mutating func field(_ name: StaticString, _ value: Span<UInt8>) {
    begin(name)
    buffer.append(jsonString: value, limit: Self.valueLimit)
  }

  @inline(__always)
  package mutating func field(_ name: StaticString, _ value: Int) {
    begin(name)
    buffer.append(decimal: value)
  }

  @inline(__always)
  package mutating func field(_ name: StaticString, _ value: UInt64) {
    begin(name)
    buffer.append(decimal: value)
  }

  @inline(__always)
  package mutating func field(_ name: StaticString, _ value: some FixedWidthInteger) {
    begin(name)
    buffer.append(decimal: value)
  }

  /// A number that JSON cannot write (infinite, not a number) becomes `null`.
  @inline(__always)
  package mutating func field(_ name: StaticString, _ value: Double) {
    begin(name)
    if value.isFinite {
      buffer.append(finite: value)
    } else {
      buffer.append("null")
    }
  }

  @inline(__always)
  package mutating func field(_ name: StaticString, _ value: Bool) {
    begin(name)
    buffer.append(value ? "true" : "false")
  }

  /// A value that `write` appends itself, as JSON on one line.
  @inline(__always)
  package mutating func jsonField(_ name: StaticString, _ write: (inout ByteBuffer) -> Void) {
    begin(name)
    write(&buffer)
  }

  /// A text that may be missing: then the field is left out.
  @inline(__always)
  package mutating func field(_ name: StaticString, ifPresent value: String?) {
    if let value { field(name, value) }
  }

  /// The line, with its line feed.
  package consuming func finish() -> ByteBuffer {
    buffer.append("}\n")
    return buffer
  }

  // Here and above parts of their callers, so that names are stored by instructions: a line has twenty of them.
  @inline(__always)
  private mutating func begin(_ name: StaticString) {
    buffer.append(jsonMember: name)
  }
}

extension ByteBuffer {
  /// Appends `time` as RFC 3339, in UTC, with milliseconds: `2026-01-31T12:00:00.000Z`.
  package mutating func append(timestamp time: WallTime) {
    let characters = time.rfc3339Characters
    append(characters.span)
  }

  /// Appends `value` in the shortest form that reads back as the same number, whole numbers without a fraction.
  mutating func append(finite value: Double) {
    if value.magnitude < 0x1p53, Double(Int64(value)) == value {
      append(decimal: Int64(value))
    } else {
      append("\(value)")
    }
  }
}
