package import Bytes

/// Writes heads in HTTP/1.1's format (RFC 9112).
package enum HTTP1Head {
  /// What every response begins with, whatever its status.
  package static let responseStart: StaticString = "HTTP/1.1 "

  /// Appends the head of a response. The fields that frame the body, and `Connection`, are written from the parameters, so
  /// that they can't disagree; `draft` must hold none of them.
  ///
  /// - Parameters:
  ///   - framing: how the body is framed; with `.none` the length of a body that is not sent is given, if there is one.
  ///   - version: the client's; an HTTP/1.0 client that may send another request is told so.
  ///   - isKeepAlive: whether the connection goes on; ignored when the body lasts until the close.
  package static func write(
    _ draft: borrowing ResponseDraft, framing: BodyFraming, version: HTTPVersion = .http11, isKeepAlive: Bool,
    into buffer: inout ByteBuffer
  ) {
    writeStatusLine(draft.status, reason: draft.reason, into: &buffer)
    buffer.append(draft.fieldsBeforeBody)
    if framing == .none, let length = draft.unsentLength {
      BodyFraming.length(length).writeFields(into: &buffer)
    } else {
      framing.writeFields(into: &buffer)
    }
    if !isKeepAlive || framing == .untilClose {
      buffer.append("Connection: close\r\n")
    } else if version == .http10 {
      buffer.append("Connection: keep-alive\r\n")
    }
    buffer.append(draft.fieldsAfterBody)
    buffer.append("\r\n")
  }

  /// Appends an interim head such as 100 (Continue), without fields.
  package static func writeInformational(_ status: Int, into buffer: inout ByteBuffer) {
    let draft = ResponseDraft(status: status)
    writeStatusLine(status, reason: draft.reason, into: &buffer)
    buffer.append("\r\n")
  }

  private static func writeStatusLine(_ status: Int, reason: Span<UInt8>, into buffer: inout ByteBuffer) {
    buffer.append(responseStart)
    buffer.append(decimal: status)
    buffer.append(.space)
    buffer.append(reason)
    buffer.append("\r\n")
  }
}

extension BodyFraming {
  /// Appends the field that declares this framing, if it takes one.
  func writeFields(into buffer: inout ByteBuffer) {
    switch self {
    case .none, .untilClose: break
    case .length(let length):
      buffer.append("Content-Length: ")
      buffer.append(decimal: length)
      buffer.append("\r\n")
    case .chunked:
      buffer.append("Transfer-Encoding: chunked\r\n")
    }
  }
}
