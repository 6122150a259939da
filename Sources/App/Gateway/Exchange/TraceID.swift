import Bytes
import HTTP

extension RequestHead {
  /// The trace id of `traceparent` (W3C Trace Context, 3.2.2.3), for log lines.
  var traceID: String? {
    guard let index = fields.firstIndex(of: .traceparent) else { return nil }
    let value = fields.value(at: index)
    guard value.count >= 55, value[2] == UInt8(ascii: "-"), value[35] == UInt8(ascii: "-") else { return nil }
    return String(copying: value.extracting(3..<35))
  }
}
