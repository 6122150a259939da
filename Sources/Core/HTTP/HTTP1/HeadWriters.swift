package import Bytes

/// Writes response heads of the gateway's own.
package enum ResponseWriter {
  /// Appends a whole head. `fields` must hold no Content-Length, Transfer-Encoding or Connection: those are written
  /// from the parameters, so that they cannot disagree.
  ///
  /// - Parameters:
  ///   - version: the client's; an HTTP/1.0 client that may send another request is told so.
  ///   - isKeepAlive: ignored when the body lasts until the close.
  package static func writeHead(
    status: Int, fields: Fields = Fields(), framing: BodyFraming, version: HTTPVersion = .http11,
    isKeepAlive: Bool = true, into buffer: inout ByteBuffer
  ) {
    writeStatusLine(status, reason: nil, into: &buffer)
    fields.write(into: &buffer)
    framing.writeFields(into: &buffer)
    writeConnection(version: version, isKeepAlive: isKeepAlive && framing != .untilClose, into: &buffer)
    buffer.append("\r\n")
  }

  /// An interim head such as 100 (Continue), without fields.
  package static func writeInformational(_ status: Int, into buffer: inout ByteBuffer) {
    writeStatusLine(status, reason: nil, into: &buffer)
    buffer.append("\r\n")
  }

  /// `reason`: `nil` for the registered phrase.
  static func writeStatusLine(_ status: Int, reason: Span<UInt8>?, into buffer: inout ByteBuffer) {
    buffer.append("HTTP/1.1 ")
    buffer.append(decimal: status)
    buffer.append(.space)
    if let reason {
      buffer.append(reason)
    } else {
      buffer.append(ReasonPhrase.of(status))
    }
    buffer.append("\r\n")
  }

  static func writeConnection(version: HTTPVersion, isKeepAlive: Bool, into buffer: inout ByteBuffer) {
    if !isKeepAlive {
      buffer.append("Connection: close\r\n")
    } else if version == .http10 {
      buffer.append("Connection: keep-alive\r\n")
    }
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
