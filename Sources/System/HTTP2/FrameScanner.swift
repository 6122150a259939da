import Bytes

/// Finds where frames begin, before the library sees them: it tells nobody of those that it ignores, and counts a
/// header that comes in several reads several times.
struct FrameScanner {
  enum Piece {
    /// Belongs to a frame that has begun, or to the preface.
    case rest(Range<Int>)
    /// The beginning of a frame.
    case frame(FrameHeader, Range<Int>)
    /// A frame begins, with a header that came in pieces. What is left of it comes next.
    case gatheredFrame(FrameHeader)
  }

  static let headerLength = 9

  /// A frame's header as far as it has come.
  private(set) var header: [UInt8] = []
  /// What is still to come of the frame, or of the preface.
  private var rest = 24
  private var offset = 0

  /// More input comes, which begins where the last ended.
  mutating func begin() {
    offset = 0
    if header.count == Self.headerLength { header = [] }
  }

  mutating func next(in input: Span<UInt8>) -> Piece? {
    guard offset < input.count else { return nil }
    if rest > 0 {
      let range = offset..<min(input.count, offset + rest)
      take(range)
      return .rest(range)
    }
    if header.count == Self.headerLength { header = [] }
    if header.isEmpty, input.count - offset >= Self.headerLength {
      let found = FrameHeader(input.extracting(offset..<offset + Self.headerLength))
      let start = offset
      offset += Self.headerLength
      rest = found.length
      take(offset..<min(input.count, offset + rest))
      return .frame(found, start..<offset)
    }
    while header.count < Self.headerLength, offset < input.count {
      header.append(input[offset])
      offset += 1
    }
    guard header.count == Self.headerLength else { return nil }
    let found = FrameHeader(header.span)
    rest = found.length
    return .gatheredFrame(found)
  }

  private mutating func take(_ range: Range<Int>) {
    rest -= range.count
    offset = range.upperBound
  }
}
