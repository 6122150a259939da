import Bytes

/// Makes a response's head of the fields of an HTTP/2 header section, as a client reads it.
package struct HTTP2ResponseBuilder: Sendable {
  private let limits: HeadLimits
  private var size = 0
  /// 0 until it has come; 100 to 599 afterwards, if it is one.
  package private(set) var status = 0
  package private(set) var fields = Fields()

  package init(limits: HeadLimits = HeadLimits()) {
    self.limits = limits
  }

  /// Takes the next field. What is malformed, or beyond the limits, is left out.
  package mutating func add(_ name: Span<UInt8>, _ value: Span<UInt8>) {
    size += name.count + value.count + 32
    guard size <= limits.head, fields.count < limits.fields else { return }
    if name.equals(":status") {
      if value.count == 3, let number = value.decimalValue, number >= 100, number < 600 { status = number }
      return
    }
    do throws(HTTP2Fault) {
      let known = try HTTP2FieldRules.check(name, value)
      fields.append(stored: name, known: known, value: value)
    } catch { return }
  }
}
