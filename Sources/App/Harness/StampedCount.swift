internal import Bytes
internal import Loop
internal import Time

/// Counts the stamped events of a body that comes in pieces. Keeps no more of it than what may begin an event, so that
/// thousands cost little.
struct StampedCount {
  private(set) var events = 0
  /// Bytes in which no event has been looked for yet, the beginning of one in front.
  private var unscanned: [UInt8] = []

  /// Appends to the bytes by `append`, and tells `generator` of each event that they hold.
  mutating func take(for generator: LoadGenerator, _ append: (inout [UInt8]) -> Void) {
    append(&unscanned)
    let before = events
    // Shared, not copied, and let go before anything changes.
    let bytes = unscanned
    let now = generator.loop.readClock()
    var found = 0
    let done = StampedEvent.scan(bytes.span) { written in
      found += 1
      generator.eventCame(latency: now - written)
    }
    events += found
    unscanned.removeFirst(done)
    if before == 0, events > 0 { generator.streamBegan() }
  }
}
