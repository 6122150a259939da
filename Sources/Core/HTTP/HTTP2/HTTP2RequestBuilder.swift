import Bytes

/// Makes a request's head of the fields of an HTTP/2 header section, in the order in which they come (RFC 9113, 8.3.1).
///
/// The first fault is kept and the rest of the section passed over, so that memory stays bounded however far the
/// section expands. What is accepted here is checked by the same rules as an HTTP/1.1 head, because it becomes one.
package struct HTTP2RequestBuilder: ~Copyable {
  private struct PseudoFields: OptionSet {
    let rawValue: UInt8
    static let method = Self(rawValue: 1)
    static let scheme = Self(rawValue: 2)
    static let authority = Self(rawValue: 4)
    static let path = Self(rawValue: 8)
  }

  private let limits: HeadLimits
  private var pseudoFields: PseudoFields = []
  private var method = Method.get
  private var path = 0..<0
  private var fields = Fields()
  private var cookie: [UInt8] = []
  /// Names and values, and 32 bytes for each field (RFC 9113, 6.5.2).
  private var size = 0
  /// Fields, all cookies counted as one.
  private var count = 0
  private var fault: HTTP2Fault?

  package init(limits: HeadLimits = HeadLimits()) {
    self.limits = limits
  }

  /// Takes the next field.
  package mutating func add(_ name: Span<UInt8>, _ value: Span<UInt8>) {
    guard fault == nil else { return }
    do throws(HTTP2Fault) {
      size += name.count + value.count + 32
      if size > limits.head { throw .message(.headTooLarge) }
      if name.hasPrefix(":") { try addPseudo(name, value) } else { try addField(name, value) }
    } catch { fault = error }
  }

  // MARK: - Pseudo-fields

  private mutating func addPseudo(_ name: Span<UInt8>, _ value: Span<UInt8>) throws(HTTP2Fault) {
    if count > 0 { throw .pseudoFieldAfterField }
    if name.equals(":method") {
      try note(.method)
      do throws(HTTP1Fault) { method = try Method(parsing: value) } catch { throw .message(error) }
    } else if name.equals(":scheme") {
      try note(.scheme)
      guard value.equalsIgnoringASCIICase("https") || value.equalsIgnoringASCIICase("http") else {
        throw .unknownScheme
      }
    } else if name.equals(":authority") {
      try note(.authority)
      try addHost(value)
    } else if name.equals(":path") {
      try note(.path)
      if value.isEmpty { throw .emptyPath }
      if value.count > limits.requestLine { throw .message(.requestLineTooLong) }
      path = fields.store(value)
    } else {
      throw .unknownPseudoField
    }
  }

  private mutating func note(_ field: PseudoFields) throws(HTTP2Fault) {
    guard pseudoFields.insert(field).inserted else { throw .repeatedPseudoField }
  }

  private mutating func addHost(_ value: Span<UInt8>) throws(HTTP2Fault) {
    guard Authority(parsing: value) != nil else { throw .message(.invalidHost) }
    fields.append(stored: [UInt8](KnownField.host.name).span, known: .host, value: value)
  }

  // MARK: - Fields

  private mutating func addField(_ name: Span<UInt8>, _ value: Span<UInt8>) throws(HTTP2Fault) {
    let known = try HTTP2FieldRules.check(name, value)
    if known != .cookie || cookie.isEmpty { count += 1 }
    if count > limits.fields { throw .message(.tooManyFields) }
    switch known {
    case .host: try takeHost(value)
    // Clients send each cookie by itself, to compress them better (RFC 9113, 8.2.3).
    case .cookie: takeCookie(value)
    case .contentLength where fields.contains(.contentLength): throw .message(.repeatedContentLength)
    default: fields.append(stored: name, known: known, value: value)
    }
  }

  private mutating func takeHost(_ value: Span<UInt8>) throws(HTTP2Fault) {
    guard let host = fields.first(.host) else { return try addHost(value) }
    guard pseudoFields.contains(.authority) else { throw .message(.repeatedHost) }
    // Which of two names counts would be decided by each reader in its own way.
    guard host.equalsIgnoringASCIICase(value) else { throw .authorityDiffersFromHost }
  }

  private mutating func takeCookie(_ value: Span<UInt8>) {
    if value.isEmpty { return }
    if !cookie.isEmpty { cookie += [UInt8(ascii: ";"), .space] }
    cookie.append(copying: value)
  }

  // MARK: - The head

  /// The request's head.
  ///
  /// - Parameter isWhole: whether the stream ends with it, so that no body follows.
  package consuming func finish(isWhole: Bool) throws(HTTP2Fault) -> RequestHead {
    if let fault { throw fault }
    if pseudoFields.contains(.method), method == .connect { throw .message(.connectUnsupported) }
    guard pseudoFields.isSuperset(of: [.method, .scheme, .path]) else { throw .missingPseudoField }
    if !cookie.isEmpty {
      let cookie = cookie
      fields.append(stored: [UInt8](KnownField.cookie.name).span, known: .cookie, value: cookie.span)
    }
    guard fields.contains(.host) else { throw .message(.missingHost) }
    let method = method
    let framing = try Self.framing(fields, isWhole: isWhole)
    let expectsContinue = try Self.expectsContinue(fields)
    return RequestHead(
      method: method, target: try Self.target(fields.bytes, path, method), version: .http2, fields: fields,
      framing: framing, expectsContinue: expectsContinue)
  }

  private static func target(
    _ bytes: [UInt8], _ path: Range<Int>, _ method: Method
  ) throws(HTTP2Fault) -> Target {
    do throws(HTTP1Fault) {
      let parts = try TargetParts(parsing: bytes.span, in: path, method: method)
      guard parts.form != .absolute else { throw .invalidTarget }
      return Target(parts: parts, bytes: bytes)
    } catch { throw .message(error) }
  }

  private static func framing(_ fields: borrowing Fields, isWhole: Bool) throws(HTTP2Fault) -> BodyFraming {
    guard let value = fields.first(.contentLength) else { return isWhole ? .none : .chunked }
    let length: Int
    do throws(HTTP1Fault) { length = try FieldSection.contentLength(value) } catch { throw .message(error) }
    if isWhole, length > 0 { throw .lengthMismatch }
    return .length(length)
  }

  private static func expectsContinue(_ fields: borrowing Fields) throws(HTTP2Fault) -> Bool {
    guard let value = fields.first(.expect) else { return false }
    guard fields.count(of: .expect) == 1, value.equalsIgnoringASCIICase("100-continue") else {
      throw .message(.unknownExpectation)
    }
    return true
  }
}
