package import Bytes

/// Names a trace: 16 bytes, not all zero, written as 32 hexadecimal digits.
package struct TraceID: Hashable, Sendable, CustomStringConvertible {
  package let high: UInt64
  package let low: UInt64

  package init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  package func write(to out: inout ByteBuffer) {
    out.append(hexadecimalDigitsOf: high)
    out.append(hexadecimalDigitsOf: low)
  }

  package var description: String {
    var out = ByteBuffer()
    write(to: &out)
    return String(decoding: out.toArray(), as: UTF8.self)
  }
}

/// Names a span within its trace: 8 bytes, not all zero, written as 16 hexadecimal digits.
package struct SpanID: Hashable, Sendable {
  package let value: UInt64

  package init(_ value: UInt64) {
    self.value = value
  }

  package func write(to out: inout ByteBuffer) { out.append(hexadecimalDigitsOf: value) }
}

/// Which span of which trace something belongs to: what `traceparent` says (W3C Trace Context, 3.2).
package struct TraceContext: Hashable, Sendable {
  package let trace: TraceID
  /// The span of who sends it.
  package let span: SpanID
  /// Whether its spans are recorded.
  package let isSampled: Bool

  package init(trace: TraceID, span: SpanID, isSampled: Bool) {
    self.trace = trace
    self.span = span
    self.isSampled = isSampled
  }

  /// Reads the field's value; `nil` where the field is not to be taken notice of (3.2.2): another version than two
  /// lower-case digits below `ff`, an id with upper case or of zeros alone.
  package init?(parsing value: Span<UInt8>) {
    guard value.count >= 55, value[2] == Self.dash, value[35] == Self.dash, value[52] == Self.dash,
      let version = value.hexadecimal(0..<2), version != 0xFF,
      // A later version may say more behind it; the first says just this.
      value.count == 55 || (version > 0 && value[55] == Self.dash),
      let high = value.hexadecimal(3..<19), let low = value.hexadecimal(19..<35), high | low != 0,
      let span = value.hexadecimal(36..<52), span != 0, let flags = value.hexadecimal(53..<55)
    else { return nil }
    self.init(trace: TraceID(high: high, low: low), span: SpanID(span), isSampled: flags & 1 == 1)
  }

  private static let dash = UInt8(ascii: "-")

  /// Writes the field's value.
  package func write(to out: inout ByteBuffer) {
    out.append("00-" as StaticString)
    trace.write(to: &out)
    out.append(Self.dash)
    span.write(to: &out)
    out.append(isSampled ? "-01" : "-00")
  }

  /// The same trace, for what `span` calls.
  package func passedOn(by span: SpanID) -> TraceContext {
    TraceContext(trace: trace, span: span, isSampled: isSampled)
  }
}

/// Which traces that begin here are recorded.
package struct TraceSampler: Sendable {
  /// Ids whose low half is below it are; `nil`: all are.
  private let limit: UInt64?

  /// - Parameter share: 0 for none, 1 for all.
  package init(share: Double) {
    limit = share >= 1 ? nil : UInt64(max(0, share) * 0x1p64)
  }

  package func samples(_ trace: TraceID) -> Bool { limit.map { trace.low < $0 } ?? true }
}

extension Span where Element == UInt8 {
  /// The number that at most 16 lower-case hexadecimal digits say.
  fileprivate func hexadecimal(_ range: Range<Int>) -> UInt64? {
    var number: UInt64 = 0
    for place in range {
      let byte = self[place]
      switch byte {
      case 0x30...0x39: number = number << 4 | UInt64(byte - 0x30)
      case 0x61...0x66: number = number << 4 | UInt64(byte - 0x57)
      default: return nil
      }
    }
    return number
  }
}

extension ByteBuffer {
  /// Appends 16 lower-case digits.
  fileprivate mutating func append(hexadecimalDigitsOf value: UInt64) {
    append(count: 16) { digits in
      var rest = value
      for place in (0..<16).reversed() {
        let digit = UInt8(truncatingIfNeeded: rest & 0xF)
        digits[place] = digit < 10 ? 0x30 + digit : 0x57 + digit
        rest >>= 4
      }
    }
  }
}
