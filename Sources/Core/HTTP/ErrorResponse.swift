package import Bytes

/// An answer of the gateway's own to a request that it can't or won't serve:
/// `{"error":{"code":"...","message":"..."}}`.
package struct ErrorResponse: ~Copyable {
  package let draft: ResponseDraft
  package let body: ByteBuffer

  /// - Parameters:
  ///   - code: a stable word for programs, as in ``HTTP1Error/code``.
  ///   - message: one sentence for people.
  ///   - fields: put before the body's own (`Retry-After`, `Date`, `Allow`).
  package init(status: Int, code: String, message: String, fields: Fields = Fields()) {
    var fields = fields
    fields.set(.contentType, FieldValue(literal: "application/json"))
    draft = ResponseDraft(status: status, fields: fields)
    var body = ByteBuffer()
    body.append("{\"error\":{\"code\":\"")
    Self.appendEscaped(code, to: &body)
    body.append("\",\"message\":\"")
    Self.appendEscaped(message, to: &body)
    body.append("\"}}\n")
    self.body = body
  }

  /// A problem document (RFC 9457). `error` in it says the same in the shape that the clients of model providers read.
  ///
  /// - Parameters:
  ///   - code: a stable word for programs.
  ///   - detail: one sentence for people.
  package init(problem status: Int, code: String, detail: String, fields: Fields = Fields()) {
    var fields = fields
    fields.set(.contentType, FieldValue(literal: "application/problem+json"))
    draft = ResponseDraft(status: status, fields: fields)
    var body = ByteBuffer()
    body.append("{\"type\":\"about:blank\",\"title\":\"")
    Self.appendEscaped(String(describing: ReasonPhrase.of(status)), to: &body)
    body.append("\",\"status\":")
    body.append(decimal: status)
    for name in ["code", "detail"] {
      body.append(",\"\(name)\":\"")
      Self.appendEscaped(name == "code" ? code : detail, to: &body)
      body.append("\"")
    }
    body.append(",\"error\":{\"code\":\"")
    Self.appendEscaped(code, to: &body)
    body.append("\",\"message\":\"")
    Self.appendEscaped(detail, to: &body)
    body.append("\"}}\n")
    self.body = body
  }

  /// The answer to a request that could not be read; the connection must be closed after it.
  package init(_ error: HTTP1Error, fields: Fields = Fields()) {
    let message = error.isResponseFault ? "the upstream's answer is malformed" : error.description
    self.init(status: error.status, code: error.code, message: message, fields: fields)
  }

  /// Appends it as the last response of an HTTP/1.1 connection.
  package borrowing func writeLast(into buffer: inout ByteBuffer) {
    HTTP1Head.write(draft, framing: .length(body.count), isKeepAlive: false, into: &buffer)
    buffer.append(body)
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
