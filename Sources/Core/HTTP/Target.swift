import Bytes

/// A request target (RFC 9112 3.2), as it was sent. Percent-encoding is left alone.
package struct Target: Sendable {
  package enum Form: Sendable, Equatable {
    /// `/path?query`
    case origin
    /// `http://authority/path?query`
    case absolute
    /// `*`, of OPTIONS
    case asterisk
  }

  package let form: Form
  let bytes: [UInt8]
  private let parts: TargetParts

  init(parts: TargetParts, bytes: [UInt8]) {
    self.form = parts.form
    self.parts = parts
    self.bytes = bytes
  }

  /// `nil` when `text` is not a valid target for a method other than OPTIONS and CONNECT.
  package init?(_ text: String) {
    let span = text.utf8Span.span
    guard let parts = try? TargetParts(parsing: span, in: 0..<span.count, method: .get) else { return nil }
    var bytes = [UInt8](copying: span)
    self.init(parts: parts.completed(in: &bytes), bytes: bytes)
  }

  /// The path, never empty; `*` for the asterisk form.
  package var path: Span<UInt8> {
    @_lifetime(borrow self)
    get { bytes.span.extracting(parts.path) }
  }

  /// What follows the first `?`, without it; `nil` when there is none.
  package var query: Span<UInt8>? {
    @_lifetime(borrow self)
    get {
      guard let range = parts.query else { return nil }
      return bytes.span.extracting(range)
    }
  }

  /// The authority of an absolute-form target.
  package var authority: Span<UInt8>? {
    @_lifetime(borrow self)
    get {
      guard let range = parts.authority else { return nil }
      return bytes.span.extracting(range)
    }
  }

  /// The path as text, for matching and logs.
  package var pathString: String { String(copying: path) }
  package var queryString: String? {
    guard let range = parts.query else { return nil }
    return String(copying: bytes.span.extracting(range))
  }
}

/// The parts of a target as ranges into the bytes of its head.
struct TargetParts: Sendable {
  var form: Target.Form
  var path: Range<Int>
  var query: Range<Int>?
  var authority: Range<Int>?

  /// Reads the target that stands at `range`.
  init(parsing bytes: Span<UInt8>, in range: Range<Int>, method: Method) throws(HTTP1Fault) {
    let target = bytes.extracting(range)
    if method == .connect { throw .connectUnsupported }
    guard !target.isEmpty, target.isVisibleASCII, target.firstIndex(of: UInt8(ascii: "#")) == nil else {
      throw .invalidTarget
    }
    if target[0] == UInt8(ascii: "/") {
      (form, authority) = (.origin, nil)
      (path, query) = TargetParts.split(bytes, range)
    } else if target.equals("*") {
      guard method == .options else { throw .invalidTarget }
      (form, authority, path, query) = (.asterisk, nil, range, nil)
    } else {
      let scheme = try TargetParts.schemeLength(target)
      let start = range.lowerBound + scheme
      var end = start
      while end < range.upperBound, bytes[end] != UInt8(ascii: "/"), bytes[end] != UInt8(ascii: "?") { end += 1 }
      guard Authority(parsing: bytes.extracting(start..<end)) != nil else { throw .invalidTarget }
      (form, authority) = (.absolute, start..<end)
      (path, query) = TargetParts.split(bytes, end..<range.upperBound)
    }
  }

  private static func split(_ bytes: Span<UInt8>, _ range: Range<Int>) -> (Range<Int>, Range<Int>?) {
    let mark = bytes.extracting(range).firstIndex(of: UInt8(ascii: "?"))
    guard let mark else { return (range, nil) }
    let position = range.lowerBound + mark
    return (range.lowerBound..<position, position + 1..<range.upperBound)
  }

  /// The length of `http://` or `https://`, the only schemes a gateway speaks for.
  private static func schemeLength(_ target: Span<UInt8>) throws(HTTP1Fault) -> Int {
    for length in [7, 8] where target.count > length {
      let scheme = target.extracting(first: length)
      if scheme.equalsIgnoringASCIICase("http://") || scheme.equalsIgnoringASCIICase("https://") { return length }
    }
    throw .invalidTarget
  }

  /// Gives an absolute-form target without a path the one it means (RFC 9112 3.2.1 and 3.2.4).
  func completed(in bytes: inout [UInt8], method: Method = .get) -> TargetParts {
    guard path.isEmpty else { return self }
    var result = self
    bytes.append(UInt8(ascii: method == .options && query == nil ? "*" : "/"))
    result.path = bytes.count - 1..<bytes.count
    return result
  }
}
