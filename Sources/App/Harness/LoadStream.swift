internal import Bytes
internal import Loop
internal import Sockets
internal import Time

/// One stream of a load: counts stamped events and knows whether its response ended as it should.
///
/// It keeps no body, only what may be the beginning of an event, so that thousands cost little.
final class LoadStream: ConnectionHandler {
  private unowned let generator: LoadGenerator
  private let connection: TCPConnection
  private var events = 0
  private var carry: [UInt8] = []
  private var head: [UInt8]? = []
  /// The last eight bytes received, the newest lowest.
  private var window: UInt64 = 0

  init(_ connection: TCPConnection, generator: LoadGenerator) {
    self.connection = connection
    self.generator = generator
  }

  func start(_ request: [UInt8]) {
    connection.handler = self
    connection.write(request.span)
    connection.startReading()
  }

  func close() {
    connection.close()
  }

  func connectionDrained() {}

  func connectionReceived(_ input: InputBuffer) {
    if head == nil { return take(input.bytes) }
    head? += [UInt8](copying: input.bytes)
    guard let bytes = head, let (parsed, length) = WireHead.parse(bytes) else { return }
    head = nil
    guard generator.accepts(parsed) else { return end(asExpected: false) }
    let rest = Array(bytes[length...])
    take(rest.span)
  }

  func connectionEnded(_ end: ConnectionEnd) {
    self.end(asExpected: false)
  }

  private func take(_ bytes: Span<UInt8>) {
    let before = events
    let now = generator.loop.readClock()
    if carry.isEmpty {
      let rest = StampedEvent.scan(bytes) { count($0, now) }
      keep(bytes.extracting(droppingFirst: rest))
    } else {
      carry += [UInt8](copying: bytes)
      let joined = carry
      carry.removeAll(keepingCapacity: true)
      let rest = StampedEvent.scan(joined.span) { count($0, now) }
      keep(joined.span.extracting(droppingFirst: rest))
    }
    if before == 0, events > 0 { generator.streamBegan() }
    if endsWithLastChunk(bytes) { end(asExpected: events == generator.plan.eventsPerStream) }
  }

  private func keep(_ bytes: Span<UInt8>) {
    if !bytes.isEmpty { carry += [UInt8](copying: bytes) }
  }

  private func count(_ written: MonotonicTime, _ now: MonotonicTime) {
    events += 1
    generator.eventCame(latency: now - written)
  }

  /// Whether the response's last bytes are a chunked body's end. No event ends in these bytes.
  private func endsWithLastChunk(_ bytes: Span<UInt8>) -> Bool {
    for index in max(0, bytes.count - 8)..<bytes.count { window = window << 8 | UInt64(bytes[index]) }
    return window & 0xFF_FFFF_FFFF_FFFF == 0x0D_0A30_0D0A_0D0A
  }

  private func end(asExpected: Bool) {
    connection.close()
    generator.streamEnded(self, asExpected: asExpected)
  }
}
