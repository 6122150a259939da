import Bytes

/// What fields may be in HTTP/2 (RFC 9113, 8.2).
package enum HTTP2FieldRules {
  /// Fields about one HTTP/1.1 connection. A message that has one is malformed (RFC 9113, 8.2.2).
  static let connectionSpecific: KnownFieldSet = [
    .connection, .keepAlive, .proxyConnection, .transferEncoding, .upgrade,
  ]

  /// Values that differ in each answer, or are secret: they would only push others out of the compression table, or
  /// could be guessed through it (RFC 7541, 7.1.3).
  private static let notIndexed: KnownFieldSet = [
    .contentLength, .etag, .location, .setCookie, .traceparent, .xRequestID, .xStreamID,
  ]

  /// Checks a field that is not a pseudo-field.
  ///
  /// - Returns: which known field it is.
  /// - Throws: what makes the message that has it malformed.
  package static func check(_ name: Span<UInt8>, _ value: Span<UInt8>) throws(HTTP2Fault) -> KnownField? {
    try checkName(name)
    try checkValue(value)
    guard let known = KnownField(name) else { return nil }
    if connectionSpecific.contains(known) { throw .connectionSpecificField }
    if known == .te, !value.equalsIgnoringASCIICase("trailers") { throw .unknownTransferCoding }
    return known
  }

  private static func checkName(_ name: Span<UInt8>) throws(HTTP2Fault) {
    guard !name.isEmpty, ByteSet.token.containsAll(name) else { throw .message(.invalidFieldName) }
    guard name.count <= FieldName.maximumLength else { throw .message(.fieldNameTooLong) }
    for index in name.indices where name[index] &- 0x41 < 26 { throw .upperCaseName }
  }

  static func checkValue(_ value: Span<UInt8>) throws(HTTP2Fault) {
    guard value.firstControl(from: 0) == value.count else { throw .message(.controlCharacter) }
    guard value.trimmed.count == value.count else { throw .spaceAroundValue }
  }

  /// Whether a field of an answer is to be kept in the compression table.
  static func isIndexed(_ field: KnownField?) -> Bool {
    guard let field else { return true }
    return !notIndexed.contains(field)
  }
}

/// How much of a body that declared its length is still to come (RFC 9113, 8.1.1). What is passed on to a backend as
/// `Content-Length` must be exactly as long, or the rest would be taken for the next request.
package struct DeclaredLength: Sendable, Equatable {
  /// Bytes; `nil` when the length was not declared.
  package private(set) var rest: Int?

  package init(_ framing: BodyFraming) {
    switch framing {
    case .length(let length): rest = length
    case .none: rest = 0
    case .chunked, .untilClose: rest = nil
    }
  }

  /// A piece of the body came.
  package mutating func came(_ count: Int) throws(HTTP2Fault) {
    guard let rest else { return }
    guard count <= rest else { throw .lengthMismatch }
    self.rest = rest - count
  }

  /// The body ended.
  package func ended() throws(HTTP2Fault) {
    if let rest, rest > 0 { throw .lengthMismatch }
  }
}

/// Checks a trailer section. What is in it is not passed on.
package struct HTTP2TrailerCheck: Sendable {
  private let limits: HeadLimits
  private var size = 0
  private var count = 0
  /// The first that was found.
  package private(set) var fault: HTTP2Fault?

  package init(limits: HeadLimits) {
    self.limits = limits
  }

  package mutating func add(_ name: Span<UInt8>, _ value: Span<UInt8>) {
    guard fault == nil else { return }
    size += name.count + value.count + 32
    count += 1
    do throws(HTTP2Fault) {
      if name.hasPrefix(":") { throw .pseudoFieldInTrailers }
      if size > limits.trailers { throw .message(.trailersTooLarge) }
      if count > limits.fields { throw .message(.tooManyFields) }
      _ = try HTTP2FieldRules.check(name, value)
    } catch { fault = error }
  }
}
