package import Bytes

/// A request of the program's own, as it goes onto an HTTP/1.1 connection (RFC 9112, 3). Requests that the gateway
/// forwards are `Forwarding`'s.
package struct HTTP1Request: Sendable {
  package var method: Method
  /// In origin form; must be valid (RFC 9112, 3.2).
  package var target: String
  /// For `Host`, which comes first; `nil` where `fields` has it.
  package var authority: String?
  /// Must say how long the body is, if there is one.
  package var fields: Fields
  package var body: [UInt8]
  /// Whether the connection ends with the answer. Then `Connection` comes last, and `fields` must not have it.
  package var isLast: Bool

  package init(
    _ method: Method, _ target: String, authority: String? = nil, fields: Fields, body: [UInt8] = [],
    isLast: Bool = false
  ) {
    self.method = method
    self.target = target
    self.authority = authority
    self.fields = fields
    self.body = body
    self.isLast = isLast
  }

  /// Appends the head and the body.
  package func write(into buffer: inout ByteBuffer) {
    buffer.append(method.name)
    buffer.append(.space)
    buffer.append(target)
    buffer.append(" HTTP/1.1\r\n")
    if let authority {
      buffer.append("Host: ")
      buffer.append(authority)
      buffer.append("\r\n")
    }
    fields.write(into: &buffer)
    if isLast { buffer.append("Connection: close\r\n") }
    buffer.append("\r\n")
    buffer.append(body)
  }
}
