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
  private let limits: HeadLimits
  private var line: Line?
  private var section = FieldSection()
  private var carry: [UInt8] = []

  init(limits: HeadLimits) {
    self.limits = limits
  }

  /// Whether part of a head is kept.
  var isCarrying: Bool { !carry.isEmpty }

  /// Takes `input` in; `nil` when the head needs more, and then all of `input` is kept.
  mutating func collect(_ input: Span<UInt8>) throws(HTTP1Fault) -> CollectedHead<Line>? {
    if carry.isEmpty {
      guard try advance(over: input) else {
        carry = [UInt8](copying: input)
        return nil
      }
      let length = section.position
      return finish(bytes: [UInt8](copying: input.extracting(first: length)), consumed: length)
    }
    let before = carry.count
    // What lies beyond the limit is never looked at, so it need not be kept either.
    carry.append(copying: input.extracting(first: min(input.count, limits.head - before)))
    guard try advanceOverCarry() else { return nil }
    var bytes: [UInt8] = []
    swap(&bytes, &carry)
    bytes.removeLast(bytes.count - section.position)
    return finish(bytes: bytes, consumed: section.position - before)
  }

  private mutating func advanceOverCarry() throws(HTTP1Fault) -> Bool {
    var bytes: [UInt8] = []
    swap(&bytes, &carry)
    defer { swap(&bytes, &carry) }
    return try advance(over: bytes.span)
  }

  /// Reads on through the head so far, which is all of `bytes`; true when it is complete. A limit is found at the
  /// same byte whether the head comes in one piece or in many.
  private mutating func advance(over bytes: Span<UInt8>) throws(HTTP1Fault) -> Bool {
    if line == nil {
      let limit = min(Line.maximumLength(limits), limits.head - 2) + 2
      let reach = bytes.extracting(first: min(bytes.count, limit))
      guard let range = try section.nextLine(in: reach) else {
        if bytes.count >= limit { throw Line.tooLong }
        return false
      }
      line = try Line(parsing: bytes, line: range)
    }
    let reach = bytes.extracting(first: min(bytes.count, limits.head))
    if try section.readFields(in: reach, atMost: limits.fields) { return true }
    if bytes.count >= limits.head { throw .headTooLarge }
    return false
  }

  private mutating func finish(bytes: [UInt8], consumed: Int) -> CollectedHead<Line>? {
    guard let line = line.take() else { return nil }
    var finished = FieldSection()
    swap(&finished, &section)
    return CollectedHead(line: line, section: finished, bytes: bytes, consumed: consumed)
  }
}
