import Bytes

/// A pattern for paths: `/v1/messages`, `/api/agents/stream/:runId`, `/files/*`.
///
/// - `:name` stands for one whole segment, which is never empty;
/// - `*` at the end stands for whatever follows, nothing included, so long as it does not climb out with `..`;
/// - everything else is compared byte by byte, as it was sent.
package struct PathTemplate: Sendable, Equatable, CustomStringConvertible {
  /// Why a text is no template; says it to whoever wrote the configuration.
  package enum Fault: Error, Equatable, CustomStringConvertible {
    case relative, emptySegment, star, invalidCharacter, captureName
    case repeatedCapture(String)

    package var description: String {
      switch self {
      case .relative: "the path does not begin with \"/\""
      case .emptySegment: "the path holds an empty segment (\"//\")"
      case .star: "\"*\" may only stand at the path's end"
      case .invalidCharacter: "the path holds a character that no request's path holds"
      case .captureName: "behind \":\" must stand a name of letters, digits and \"_\", up to the next \"/\""
      case .repeatedCapture(let name): "the path names \":\(name)\" twice"
      }
    }
  }

  private enum Piece: Equatable, Sendable {
    case literal([UInt8])
    case capture(String)
  }

  package let description: String
  /// Literals and captures in turns; a literal comes first, and begins with `/`.
  private let pieces: [Piece]
  private let isPrefix: Bool

  package init(parsing text: String) throws(Fault) {
    guard text.utf8.first == UInt8(ascii: "/") else { throw .relative }
    description = text
    isPrefix = text.utf8.last == UInt8(ascii: "*")
    let path = isPrefix ? text.dropLast() : text[...]
    guard !path.utf8.contains(UInt8(ascii: "*")) else { throw .star }
    pieces = try PathTemplate.pieces(of: path)
    // `/:id*` would be half a segment.
    if isPrefix, case .capture = pieces.last { throw .star }
  }

  private static func pieces(of path: Substring) throws(Fault) -> [Piece] {
    var pieces: [Piece] = []
    var names: Set<String> = []
    var literal: [UInt8] = []
    let segments = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
    for (index, segment) in segments.enumerated() {
      literal.append(UInt8(ascii: "/"))
      guard !segment.isEmpty || index == segments.count - 1 else { throw .emptySegment }
      if segment.first == ":" {
        let name = String(segment.dropFirst())
        guard isCaptureName(name) else { throw .captureName }
        guard names.insert(name).inserted else { throw .repeatedCapture(name) }
        pieces.append(.literal(literal))
        pieces.append(.capture(name))
        literal = []
      } else {
        let bytes = Array(segment.utf8)
        guard isLiteral(bytes.span) else { throw .invalidCharacter }
        literal += bytes
      }
    }
    if !literal.isEmpty { pieces.append(.literal(literal)) }
    return pieces
  }

  private static func isCaptureName(_ name: String) -> Bool {
    guard let first = name.utf8.first, !first.isASCIIDigit else { return false }
    return name.utf8.allSatisfy { $0.isASCIIDigit || $0.asciiLowercased &- 0x61 < 26 || $0 == UInt8(ascii: "_") }
  }

  private static func isLiteral(_ bytes: Span<UInt8>) -> Bool {
    ByteSet.target.containsAll(bytes) && bytes.firstIndex(of: UInt8(ascii: "?")) == nil
      && PercentEncoding.decoded(bytes, plusIsSpace: false) != nil
  }

  package var captureNames: [String] {
    pieces.compactMap { if case .capture(let name) = $0 { name } else { nil } }
  }

  /// What stands before and after the capture `name` in the paths that fit; `nil` where that is not all of them: with
  /// another capture, or a `*`.
  package func surroundings(of name: String) -> (before: [UInt8], after: [UInt8])? {
    guard !isPrefix, pieces.count == 2 || pieces.count == 3, case .literal(let before) = pieces[0],
      pieces[1] == .capture(name)
    else { return nil }
    if pieces.count == 2 { return (before, []) }
    guard case .literal(let after) = pieces[2] else { return nil }
    return (before, after)
  }

  /// What the captures stand for in `path`; `nil` when the path does not fit. Allocates only for captures.
  ///
  /// A segment that is no honest name does not fit a capture: broken percent-encoding, bytes that are not UTF-8,
  /// control characters, `.` and `..`, or a `/` in disguise.
  package func match(_ path: Span<UInt8>) -> PathCaptures? {
    var captures = PathCaptures()
    var offset = 0
    for piece in pieces {
      switch piece {
      case .literal(let bytes):
        guard path.extracting(offset..<path.count).hasPrefix(bytes.span) else { return nil }
        offset += bytes.count
      case .capture(let name):
        let end = path.firstIndex(of: UInt8(ascii: "/"), from: offset) ?? path.count
        guard let value = PathTemplate.value(of: path.extracting(offset..<end)) else { return nil }
        captures.append(name, value)
        offset = end
      }
    }
    if isPrefix { return path.extracting(offset..<path.count).hasParentSegment ? nil : captures }
    return offset == path.count ? captures : nil
  }

  /// `path` with `:name` in place of what the captures of `names` stand for; `nil` when it does not fit so far.
  ///
  /// What stands behind the last of them is not looked at, and a capture may be anything: a path that is nearly a
  /// template's holds what that one's would.
  package func redacted(_ path: Span<UInt8>, _ names: Set<String>) -> [UInt8]? {
    var result: [UInt8] = []
    var (offset, taken) = (0, 0)
    for piece in pieces {
      switch piece {
      case .literal(let bytes):
        guard path.extracting(offset..<path.count).hasPrefix(bytes.span) else {
          return taken == 0 ? nil : result + [UInt8](copying: path.extracting(taken..<path.count))
        }
        offset += bytes.count
      case .capture(let name):
        let end = path.firstIndex(of: UInt8(ascii: "/"), from: offset) ?? path.count
        if names.contains(name), end > offset {
          result += [UInt8](copying: path.extracting(taken..<offset)) + Array(":\(name)".utf8)
          taken = end
        }
        offset = end
      }
    }
    return taken == 0 ? nil : result + [UInt8](copying: path.extracting(taken..<path.count))
  }

  private static func value(of segment: Span<UInt8>) -> String? {
    guard let bytes = PercentEncoding.decoded(segment, plusIsSpace: false), !bytes.isEmpty,
      bytes.span.firstIndex(of: UInt8(ascii: "/")) == nil, bytes.span.firstControl(from: 0) == bytes.count,
      let text = String(validating: bytes, as: UTF8.self), text != ".", text != ".."
    else { return nil }
    return text
  }
}

/// What the captures of a ``PathTemplate`` stand for: percent-decoded, never empty, without `/`.
package struct PathCaptures: Sendable, Equatable {
  private var names: [String] = []
  private var values: [String] = []

  package init() {}

  package var isEmpty: Bool { names.isEmpty }

  package subscript(name: String) -> String? {
    names.firstIndex(of: name).map { values[$0] }
  }

  fileprivate mutating func append(_ name: String, _ value: String) {
    names.append(name)
    values.append(value)
  }
}

extension Span where Element == UInt8 {
  /// Whether a segment is `..`, its dots percent-encoded or not.
  fileprivate var hasParentSegment: Bool {
    var start = 0
    while start <= count {
      let end = firstIndex(of: UInt8(ascii: "/"), from: start) ?? count
      if extracting(start..<end).isParentSegment { return true }
      start = end + 1
    }
    return false
  }

  private var isParentSegment: Bool {
    var (offset, dots) = (0, 0)
    while offset < count {
      if self[offset] == UInt8(ascii: ".") {
        offset += 1
      } else if offset + 3 <= count, extracting(offset..<offset + 3).equalsIgnoringASCIICase("%2e") {
        offset += 3
      } else {
        return false
      }
      dots += 1
    }
    return dots == 2
  }
}
