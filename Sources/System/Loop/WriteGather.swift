import Bytes

/// A connection whose small writes can be gathered for the length of a callback.
package protocol GatherMember: AnyObject {
  /// Sends what was gathered, in one call. Called on the loop, from inside a write, a flush or the end of the callback.
  func sendGathered(_ bytes: Span<UInt8>)
}

/// Gathers what connections of one loop write during a callback, so that a head and the body that came with it leave in
/// one call and one segment.
///
/// Bytes are held for one connection at a time, at most `capacity` of them, and never past the callback. Only what has
/// many small parts is worth it: bytes are copied here, which an event on its way through a stream never is.
package final class WriteGather {
  /// Bytes held at most.
  package static let capacity = 16 << 10

  /// Whether writes are gathered now.
  package private(set) var isOn = false
  private var bytes = ByteBuffer()
  private var owner: (any GatherMember)?

  package init() {}

  /// Gathers what is written while `body` runs. One inside another changes nothing.
  package func during(_ body: () -> Void) {
    guard !isOn else { return body() }
    isOn = true
    body()
    isOn = false
    flush()
  }

  /// Takes what `member` writes. Whatever another connection wrote before it leaves now.
  package func take(_ piece: Span<UInt8>, for member: any GatherMember) {
    if owner !== member || bytes.count + piece.count > Self.capacity { flush() }
    guard piece.count <= Self.capacity else { return member.sendGathered(piece) }
    owner = member
    bytes.append(piece)
  }

  /// Sends at once what was gathered for `member`.
  package func flush(_ member: any GatherMember) {
    if owner === member { flush() }
  }

  private func flush() {
    guard let owner = owner.take() else { return }
    bytes.withSpan { owner.sendGathered($0) }
    bytes.removeAll()
  }
}
