import Bytes

/// Memory of segments that are not needed any more, for those that come: most have the same size, and what the system
/// gives anew costs more than writing to it.
///
/// Lives on one loop, as all logs that share it.
package final class SegmentPool {
  private final class Piece {
    var memory: ByteBuffer
    let next: Piece?

    init(_ memory: consuming ByteBuffer, before next: Piece?) {
      self.memory = memory
      self.next = next
    }
  }

  /// Bytes of each piece.
  static let pieceSize = 64 << 10

  /// Pieces that are kept at most.
  private let limit: Int
  private var first: Piece?
  private var count = 0
  /// The fewest that there have been since the last `trim`: nobody has needed these.
  private var fewest = 0

  /// - Parameter limit: bytes that are kept at most.
  package init(limit: Int = 16 << 20) {
    self.limit = limit / Self.pieceSize
  }

  /// Bytes kept.
  package var bytes: Int { count * Self.pieceSize }

  /// Empty memory of `pieceSize` bytes.
  func take() -> ByteBuffer {
    var memory = ByteBuffer()
    guard let piece = first else {
      memory.reserve(Self.pieceSize)
      return memory
    }
    swap(&memory, &piece.memory)
    first = piece.next
    count -= 1
    fewest = min(fewest, count)
    return memory
  }

  func put(_ memory: consuming ByteBuffer) {
    guard count < limit, memory.allocated == Self.pieceSize else { return }
    memory.removeAll()
    first = Piece(memory, before: first)
    count += 1
  }

  /// Gives back what nobody has needed since this was last called.
  package func trim() {
    for _ in 0..<fewest { _ = take() }
    fewest = count
  }
}
