import Bytes

package enum RequestHeadProgress: Sendable {
  /// All input was taken; the head is not complete.
  case needMore
  /// `consumed` bytes of the last input belonged to the head; what follows is body or the next request.
  case complete(RequestHead, consumed: Int)
}

/// Reads request heads from one connection, one after another (RFC 9112). After a fault the connection must close;
/// every later call throws it again.
package struct RequestHeadParser: Sendable {
  private var collector = HeadCollector<RequestLine>()
  private var blankLine = BlankLine.allowed
  private var error: HTTP1Error?

  /// RFC 9112 2.2: one empty line before a request is forgiven, as old clients send it after a body.
  private enum BlankLine {
    case allowed, begun, over
  }

  package init() {}

  /// Whether part of a request has come: a connection that ends or stalls now deserves a 408, else silence.
  package var hasPartialInput: Bool { collector.isCarrying }

  /// - Parameter limits: of a head that begins with these bytes; one that began before keeps its own.
  package mutating func parse(
    _ input: Span<UInt8>, limits: HeadLimits = HeadLimits()
  ) throws(HTTP1Error) -> RequestHeadProgress {
    if let error { throw error }
    do throws(HTTP1Fault) {
      let skipped = try skipBlankLine(input)
      guard skipped < input.count else { return .needMore }
      let rest = input.extracting(droppingFirst: skipped)
      guard let head = try collector.collect(rest, limits: limits) else { return .needMore }
      blankLine = .allowed
      let consumed = skipped + head.consumed
      return .complete(try RequestHead(head), consumed: consumed)
    } catch {
      self.error = .request(error)
      throw .request(error)
    }
  }

  private mutating func skipBlankLine(_ input: Span<UInt8>) throws(HTTP1Fault) -> Int {
    var index = 0
    while blankLine != .over, index < input.count {
      switch blankLine {
      case .allowed where input[index] == .carriageReturn:
        blankLine = .begun
        index += 1
      case .begun:
        guard input[index] == .lineFeed else { throw .bareCarriageReturn }
        index += 1
        blankLine = .over
      default:
        blankLine = .over
      }
    }
    return index
  }
}

struct RequestLine: StartLine {
  let method: Method
  let target: TargetParts
  let version: HTTPVersion

  static func maximumLength(_ limits: HeadLimits) -> Int { limits.requestLine }
  static var tooLong: HTTP1Fault { .requestLineTooLong }

  /// Exactly one space between the three parts and none elsewhere (RFC 9112 3); the leniencies of section 3 about
  /// whitespace are what request splitting is made of.
  init(parsing bytes: Span<UInt8>, line: Range<Int>) throws(HTTP1Fault) {
    let text = bytes.extracting(line)
    guard let methodEnd = text.firstIndex(of: .space),
      let targetEnd = text.firstIndex(of: .space, from: methodEnd + 1),
      methodEnd > 0, targetEnd > methodEnd + 1
    else { throw .malformedRequestLine }
    method = try Method(parsing: text.extracting(first: methodEnd))
    let rest = text.extracting(droppingFirst: targetEnd + 1)
    guard rest.firstIndex(of: .space) == nil else { throw .malformedRequestLine }
    version = try HTTPVersion(parsing: rest)
    let start = line.lowerBound
    target = try TargetParts(parsing: bytes, in: start + methodEnd + 1..<start + targetEnd, method: method)
  }
}
