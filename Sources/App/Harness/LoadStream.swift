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
  private var head: [UInt8] = []
  private var body: WireBody?
  /// Decoded bytes in which no event has been looked for yet, the beginning of one in front.
  private var unscanned: [UInt8] = []

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
    let bytes = [UInt8](copying: input.bytes)
    if body != nil { return take(bytes[...]) }
    head += bytes
    guard let (parsed, length) = WireHead.parse(head) else { return }
    guard generator.accepts(parsed) else { return end(asExpected: false) }
    body = parsed.isChunked ? WireBody(.chunked) : parsed.length.map { WireBody(.length($0)) } ?? WireBody(.untilClose)
    let rest = head[length...]
    head = []
    take(rest)
  }

  func connectionEnded(_ end: ConnectionEnd) {
    self.end(asExpected: false)
  }

  private func take(_ bytes: ArraySlice<UInt8>) {
    _ = body?.take(bytes, into: &unscanned)
    let before = events
    unscanned.removeFirst(scan())
    if before == 0, events > 0 { generator.streamBegan() }
    switch body?.state {
    case .complete?: end(asExpected: events == generator.plan.eventsPerStream)
    case .broken?: end(asExpected: false)
    case .open?, nil: break
    }
  }

  /// Counts the events that have come, and returns how many bytes are done with.
  private func scan() -> Int {
    // Shared, not copied, and let go before anything changes.
    let bytes = unscanned
    let now = generator.loop.readClock()
    return StampedEvent.scan(bytes.span) { count($0, now) }
  }

  private func count(_ written: MonotonicTime, _ now: MonotonicTime) {
    events += 1
    generator.eventCame(latency: now - written)
  }

  private func end(asExpected: Bool) {
    connection.close()
    generator.streamEnded(self, asExpected: asExpected)
  }
}
