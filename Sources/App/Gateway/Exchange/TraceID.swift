import Bytes
import HTTP

extension RequestHead {
  /// The trace id of `traceparent`, for log lines; `nil` where W3C Trace Context (3.2.2) says to take no notice of the
  /// field: another version than two lower-case digits below `ff`, an id with upper case or of zeros alone.
  var traceID: String? {
    let fields = fields
    guard let index = fields.firstIndex(of: .traceparent) else { return nil }
    return TraceParent.traceID(in: fields.value(at: index))
  }
}

/// Reads `traceparent`.
package enum TraceParent {
  /// The trace id in `value`, 32 lower-case hexadecimal digits; `nil` if the field is not valid.
  package static func traceID(in value: Span<UInt8>) -> String? {
    let isWhole = value.count == 55 || (value.count > 55 && value[55] == dash && !isDigits(value, 0..<2, of: "0"))
    guard isWhole, value[2] == dash, value[35] == dash, value[52] == dash, isHex(value, 0..<2), isHex(value, 3..<35),
      isHex(value, 36..<52), isHex(value, 53..<55), !isDigits(value, 0..<2, of: "f"), !isDigits(value, 3..<35, of: "0"),
      !isDigits(value, 36..<52, of: "0")
    else { return nil }
    return String(copying: value.extracting(3..<35))
  }

  private static let dash = UInt8(ascii: "-")

  private static func isHex(_ value: Span<UInt8>, _ range: Range<Int>) -> Bool {
    for place in range where !((0x30...0x39).contains(value[place]) || (0x61...0x66).contains(value[place])) {
      return false
    }
    return true
  }

  private static func isDigits(_ value: Span<UInt8>, _ range: Range<Int>, of digit: Unicode.Scalar) -> Bool {
    for place in range where value[place] != UInt8(ascii: digit) { return false }
    return true
  }
}
