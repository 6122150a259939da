import Bytes

/// How the end of a message's body is found (RFC 9112 6.3).
package enum BodyFraming: Sendable, Equatable {
  /// No body and none declared.
  case none
  /// Exactly so many bytes, from Content-Length.
  case length(Int)
  case chunked
  /// A response that lasts until its connection closes. Its end cannot be told from a cut.
  case untilClose

  // Written out, because a derived one is called through a witness table by other modules.
  package static func == (left: BodyFraming, right: BodyFraming) -> Bool {
    switch (left, right) {
    case (.none, .none), (.chunked, .chunked), (.untilClose, .untilClose): true
    case (.length(let one), .length(let other)): one == other
    default: false
    }
  }

  /// Whether a byte of body may follow. `Content-Length: 0` announces none, as no field at all does.
  package var mayHaveBytes: Bool {
    switch self {
    case .none, .length(0): false
    case .length, .chunked, .untilClose: true
    }
  }

  /// The framing of the body that follows `head`, the final answer to a `method` request.
  package static func ofResponse(_ head: borrowing ResponseHead, to method: Method) -> BodyFraming {
    if method == .head || head.status < 200 || head.status == 204 || head.status == 304 { return .none }
    return head.declaredFraming
  }
}

extension FieldSection {
  /// What Content-Length and Transfer-Encoding declare; `nil` when there is neither. RFC 9112 6.1 and 6.3, but
  /// every ambiguity is a fault: two readers that resolve one differently are a smuggling hole.
  func declaredFraming(version: HTTPVersion, in bytes: Span<UInt8>) throws(HTTP1Fault) -> BodyFraming? {
    let hasLength = present.contains(.contentLength)
    if present.contains(.transferEncoding) {
      if hasLength { throw .contentLengthWithTransferEncoding }
      if version == .http10 { throw .transferEncodingInHTTP10 }
      if repeated.contains(.transferEncoding) { throw .repeatedTransferEncoding }
      guard let value = value(of: .transferEncoding, in: bytes) else { return nil }
      try FieldSection.requireChunked(value)
      return .chunked
    }
    guard hasLength, let value = value(of: .contentLength, in: bytes) else { return nil }
    if repeated.contains(.contentLength) { throw .repeatedContentLength }
    return .length(try FieldSection.contentLength(value))
  }

  private static func requireChunked(_ value: Span<UInt8>) throws(HTTP1Fault) {
    if value.equalsIgnoringASCIICase("chunked") { return }
    // Well-formed lists that end in `chunked`, and other single codings, are merely not offered.
    var codings = 0
    var endsInChunked = false
    var offset = 0
    while offset <= value.count {
      let end = value.firstIndex(of: UInt8(ascii: ","), from: offset) ?? value.count
      let coding = value.extracting(offset..<end).trimmed
      if endsInChunked || coding.isEmpty || !ByteSet.token.containsAll(coding) { throw .malformedTransferEncoding }
      endsInChunked = coding.equalsIgnoringASCIICase("chunked")
      codings += 1
      offset = end + 1
    }
    throw endsInChunked || codings == 1 ? .unsupportedTransferCoding : .malformedTransferEncoding
  }

  static func contentLength(_ value: Span<UInt8>) throws(HTTP1Fault) -> Int {
    if let length = value.decimalValue { return length }
    guard !value.isEmpty else { throw .malformedContentLength }
    for index in value.indices where !value[index].isASCIIDigit { throw .malformedContentLength }
    throw .contentLengthTooLarge
  }
}
