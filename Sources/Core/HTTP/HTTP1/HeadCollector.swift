import Bytes

/// The first line of a head: what differs between requests and responses while a head is gathered.
protocol StartLine: Sendable {
  init(parsing bytes: Span<UInt8>, line: Range<Int>) throws(HTTP1Fault)
  /// How long the line may be, without its CRLF.
  static func maximumLength(_ limits: HeadLimits) -> Int
  static var tooLong: HTTP1Fault { get }
}

/// A head that is complete: its bytes, from the start line to the closing empty line, and what stands where.
struct CollectedHead<Line: StartLine> {
  var line: Line
  var section: FieldSection
  var bytes: [UInt8]
  /// How much of the last input belonged to the head.
  var consumed: Int
}

/// Gathers one head after another. A head that comes in one input is never carried: its bytes are copied once,
/// into the storage it keeps.
struct HeadCollector<Line: StartLine>: Sendable {
  /// A head that has come in part. At most one: as an array it takes one word of each connection that has none, and that
  /// is nearly all of them.
  private var partial: [PartialHead<Line>] = []

  /// Whether part of a head is kept.
  var isCarrying: Bool { !partial.isEmpty }

  /// Takes `input` in; `nil` when the head needs more, and then all of `input` is kept.
  ///
  /// - Parameter limits: of a head that begins here; a partial one keeps its own.
  mutating func collect(_ input: Span<UInt8>, limits: HeadLimits) throws(HTTP1Fault) -> CollectedHead<Line>? {
    if partial.isEmpty {
      var line: Line?
      var section = FieldSection()
      let isWhole = try section.advance(over: input, startLine: &line, limits: limits)
      guard isWhole, let line else {
        partial.append(
          PartialHead(limits: limits, line: line, section: section, bytes: [UInt8](copying: input)))
        return nil
      }
      let length = section.position
      return CollectedHead(
        line: line, section: section, bytes: [UInt8](copying: input.extracting(first: length)), consumed: length)
    }
    let before = partial[0].bytes.count
    guard try partial[0].append(input), var head = partial.popLast(), let line = head.line else { return nil }
    partial = []
    // Taken out, for a second owner would make the next line copy them.
    var bytes: [UInt8] = []
    swap(&bytes, &head.bytes)
    bytes.removeLast(bytes.count - head.section.position)
    return CollectedHead(
      line: line, section: head.section, bytes: bytes, consumed: head.section.position - before)
  }
}

/// How far a head has been read.
private struct PartialHead<Line: StartLine>: Sendable {
  let limits: HeadLimits
  var line: Line?
  var section: FieldSection
  /// What has come.
  var bytes: [UInt8]

  /// Reads on; true when the head is complete.
  mutating func append(_ input: Span<UInt8>) throws(HTTP1Fault) -> Bool {
    var bytes: [UInt8] = []
    swap(&bytes, &self.bytes)
    defer { swap(&bytes, &self.bytes) }
    // What lies beyond the limit is never looked at, so it need not be kept either.
    bytes.append(copying: input.extracting(first: min(input.count, limits.head - bytes.count)))
    return try section.advance(over: bytes.span, startLine: &line, limits: limits)
  }
}

extension FieldSection {
  /// Reads on through the head so far, which is all of `bytes`; true when it is complete. A limit is found at the
  /// same byte whether the head comes in one piece or in many.
  fileprivate mutating func advance<Line: StartLine>(
    over bytes: Span<UInt8>, startLine line: inout Line?, limits: HeadLimits
  ) throws(HTTP1Fault) -> Bool {
    if line == nil {
      let limit = min(Line.maximumLength(limits), limits.head - 2) + 2
      let reach = bytes.extracting(first: min(bytes.count, limit))
      guard let range = try nextLine(in: reach) else {
        if bytes.count >= limit { throw Line.tooLong }
        return false
      }
      line = try Line(parsing: bytes, line: range)
    }
    let reach = bytes.extracting(first: min(bytes.count, limits.head))
    if try readFields(in: reach, atMost: limits.fields) { return true }
    if bytes.count >= limits.head { throw .headTooLarge }
    return false
  }
}
