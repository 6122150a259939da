package import Bytes
import SSE

/// What a reader needs to know of a run that has ended: its counts, and the event that its end left unfinished.
package protocol StreamTail {
  /// Events with data.
  var events: UInt64 { get }
  /// The bytes of all blocks.
  var eventBytes: UInt64 { get }
  /// Whether the backend ended in the middle of an event.
  var hasPartialEvent: Bool { get }
  /// Whether the JSON text of an error stood in the body, bare, where no client of event streams sees it.
  var hasBareError: Bool { get }

  /// Completes an event that a backend with a clean end left without its blank line.
  ///
  /// - Returns: whether there was one.
  func completePartial(for reader: some EventSink, into out: inout ByteBuffer) -> Bool

  /// Appends the bytes of an event that is cut, as far as they were kept.
  func writePartialEvent(to out: inout ByteBuffer)
}

/// The tail of a run that is read from its log.
package struct LoggedTail: StreamTail {
  package var events: UInt64 = 0
  package var eventBytes: UInt64 = 0
  package private(set) var hasBareError = false
  /// The unfinished event, as the backend sent it.
  private var block: [UInt8] = []
  private var metadata: EntryMetadata?

  package init() {}

  /// Takes an entry whose kind is `.unterminated` or `.partial`.
  package mutating func take(_ block: Span<UInt8>, _ metadata: EntryMetadata) {
    self.block = [UInt8](copying: block)
    self.metadata = metadata
  }

  /// Takes note of an entry that is no event.
  package mutating func note(_ metadata: EntryMetadata) {
    if metadata.mark.contains(.error) { hasBareError = true }
  }

  package var hasPartialEvent: Bool { metadata != nil }

  package func completePartial(for reader: some EventSink, into out: inout ByteBuffer) -> Bool {
    guard let metadata, metadata.kind == .unterminated else { return false }
    var whole = block
    if whole.last != 0x0A { whole.append(0x0A) }
    whole.append(0x0A)
    reader.deliver(Event(reading: whole.span), whole.span, mark: metadata.mark, number: metadata.number, into: &out)
    return true
  }

  package func writePartialEvent(to out: inout ByteBuffer) {
    if metadata?.kind == .partial { out.append(block.span) }
  }
}
