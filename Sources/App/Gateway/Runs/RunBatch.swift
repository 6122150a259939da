import Bytes
import SSE
import Streams

/// Entries of a run on their way to another loop.
struct RunBatch: Sendable {
  private(set) var bytes: [UInt8] = []
  private(set) var entries: [(head: EntryHead, length: Int)] = []
  /// The last entry, if it is among them.
  var end: EndRecord?
  /// Whether there are others already that come next.
  var isPart = false

  var isEmpty: Bool { entries.isEmpty && end == nil }
  var byteCount: Int { bytes.count }

  mutating func append(_ block: Span<UInt8>, _ head: EntryHead) {
    bytes.append(copying: block)
    entries.append((head, block.count))
  }

  /// Lends the entries, until `body` wants no more.
  func read(_ body: (Span<UInt8>, EntryHead) -> Bool) {
    var offset = 0
    for entry in entries {
      if !body(bytes.span.extracting(offset..<offset + entry.length), entry.head) { return }
      offset += entry.length
    }
  }
}
