import Bytes

package enum ResponseHeadProgress: Sendable {
  /// All input was taken; the head is not complete.
  case needMore
  /// `consumed` bytes of the last input belonged to the head; what follows is body or the next response.
  case complete(ResponseHead, consumed: Int)
}

/// Reads response heads from one connection, one after another (RFC 9112). Informational heads (1xx) come out like
/// any other: ``ResponseSequence`` says what they mean. After a fault the connection must close; every later
/// call throws it again.
package struct ResponseHeadParser: Sendable {
  private var collector = HeadCollector<StatusLine>()
  private var error: HTTP1Error?

  package init() {}

  /// Whether part of a head has come.
  package var hasPartialInput: Bool { collector.isCarrying }

  /// - Parameter limits: of a head that begins with these bytes; one that began before keeps its own.
  package mutating func parse(
    _ input: Span<UInt8>, limits: HeadLimits = HeadLimits()
  ) throws(HTTP1Error) -> ResponseHeadProgress {
    if let error { throw error }
    do throws(HTTP1Fault) {
      guard !input.isEmpty, let head = try collector.collect(input, limits: limits) else { return .needMore }
      let consumed = head.consumed
      return .complete(try ResponseHead(head), consumed: consumed)
    } catch {
      self.error = .response(error)
      throw .response(error)
    }
  }
}

struct StatusLine: StartLine {
  let version: HTTPVersion
  let status: Int
  let reason: Range<Int>

  static func maximumLength(_ limits: HeadLimits) -> Int { limits.head }
  static var tooLong: HTTP1Fault { .headTooLarge }

  /// RFC 9112 4. The space behind the status may be missing when there is no reason, as many servers have it.
  init(parsing bytes: Span<UInt8>, line: Range<Int>) throws(HTTP1Fault) {
    let text = bytes.extracting(line)
    guard text.count >= 9, text[8] == .space else { throw .malformedStatusLine }
    version = try HTTPVersion(parsing: text.extracting(first: 8))
    guard text.count >= 12, let number = text.extracting(9..<12).decimalValue else { throw .malformedStatusLine }
    guard text.count == 12 || text[12] == .space else { throw .malformedStatusLine }
    guard (100..<600).contains(number) else { throw .invalidStatus }
    status = number
    let start = min(line.lowerBound + 13, line.upperBound)
    reason = start..<line.upperBound
  }
}
