package import Bytes

/// Short answers of the gateway itself.
package enum StandardResponses {
  package enum Body: Sendable {
    /// `{"error":{"code":"...","message":"..."}}`
    case json
    case plain
    /// Declared as empty.
    case empty
  }

  /// Appends a whole response.
  ///
  /// - Parameters:
  ///   - code: a stable word for programs, as in ``HTTP1Error/code``.
  ///   - message: one sentence for people.
  ///   - fields: put before the body's own (`Retry-After`, `Date`, `Allow`).
  ///   - isHead: leaves the body out, as an answer to HEAD must, and keeps its length.
  package static func write(
    status: Int, code: String, message: String, body: Body = .json, fields: Fields = Fields(),
    version: HTTPVersion = .http11, isKeepAlive: Bool = false, isHead: Bool = false, into buffer: inout ByteBuffer
  ) {
    var content = ByteBuffer()
    var allFields = fields
    switch body {
    case .json:
      allFields.set(.contentType, FieldValue(literal: "application/json"))
      writeJSON(code: code, message: message, into: &content)
    case .plain:
      allFields.set(.contentType, FieldValue(literal: "text/plain; charset=utf-8"))
      content.append(message)
      content.append("\n")
    case .empty:
      break
    }
    ResponseWriter.writeHead(
      status: status, fields: allFields, framing: .length(content.count), version: version,
      isKeepAlive: isKeepAlive, into: &buffer)
    if !isHead { buffer.append(content.span) }
  }

  /// The answer to a request that could not be read; the connection must be closed after it.
  package static func write(_ error: HTTP1Error, fields: Fields = Fields(), into buffer: inout ByteBuffer) {
    let message = error.isResponseFault ? "the upstream's answer is malformed" : error.description
    write(status: error.status, code: error.code, message: message, fields: fields, into: &buffer)
  }

  private static func writeJSON(code: String, message: String, into buffer: inout ByteBuffer) {
    buffer.append("{\"error\":{\"code\":\"")
    appendEscaped(code, to: &buffer)
    buffer.append("\",\"message\":\"")
    appendEscaped(message, to: &buffer)
    buffer.append("\"}}\n")
  }

  private static func appendEscaped(_ text: String, to buffer: inout ByteBuffer) {
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""): buffer.append("\\\"")
      case UInt8(ascii: "\\"): buffer.append("\\\\")
      case 0..<0x20:
        buffer.append(byte < 0x10 ? "\\u000" : "\\u00")
        buffer.append(hexadecimal: Int(byte))
      default: buffer.append(byte)
      }
    }
  }
}
