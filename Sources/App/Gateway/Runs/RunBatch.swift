import Bytes
import SSE
import Streams

/// Entries of a run on their way to another loop.
struct RunBatch: Sendable {
  private(set) var bytes: [UInt8] = []
  private(set) var entries: [(metadata: EntryMetadata, length: Int)] = []
  /// The last entry, if it is among them.
  var end: EndRecord?
  /// Whether there are others already that come next.
  var isPart = false

  var isEmpty: Bool { entries.isEmpty && end == nil }
  var byteCount: Int { bytes.count }

  mutating func append(_ block: Span<UInt8>, _ metadata: EntryMetadata) {
    bytes.append(copying: block)
    entries.append((metadata, block.count))
  }

  /// Lends the entries, until `body` wants no more.
  func read(_ body: (Span<UInt8>, EntryMetadata) -> Bool) {
    var offset = 0
    for entry in entries {
      if !body(bytes.span.extracting(offset..<offset + entry.length), entry.metadata) { return }
      offset += entry.length
    }
  }
}
