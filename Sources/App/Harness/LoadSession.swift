internal import Bytes
internal import HTTP2
internal import Loop
internal import Sockets

/// An HTTP/2 connection of a load, and its streams. Where streams replace each other the next one goes over the same
/// connection, as clients do.
final class LoadSession: ConnectionHandler, LoadCarrier {
  private unowned let generator: LoadGenerator
  private let connection: any Connection
  private let session: HTTP2ClientSession
  private let request: HTTP2Request
  private var counts: [HTTP2StreamID: StampedCount] = [:]
  private var frames = ByteBuffer()
  private var isOver = false

  /// - Throws: when there is no memory for a session.
  init(_ connection: any Connection, request: HTTP2Request, generator: LoadGenerator) throws(HTTP2SessionError) {
    session = try HTTP2ClientSession()
    self.connection = connection
    self.request = request
    self.generator = generator
  }

  /// - Parameter streams: at least one.
  func start(_ streams: Int) {
    connection.handler = self
    for _ in 0..<streams { open() }
    flush()
    connection.startReading()
  }

  private func open() {
    guard let id = try? session.request(request) else { return generator.streamEnded(asExpected: false) }
    counts[id] = StampedCount()
  }

  func close() {
    isOver = true
    connection.close()
  }

  func connectionDrained() {}

  func connectionReceived(_ input: InputBuffer) {
    guard (try? session.receive(input.bytes)) != nil else { return fail() }
    while !isOver, let event = session.nextEvent() { take(event, input) }
    if !isOver { flush() }
  }

  func connectionEnded(_ end: ConnectionEnd) { fail() }

  private func take(_ event: HTTP2ClientEvent, _ input: InputBuffer) {
    switch event {
    case .head(let id, let status, let fields):
      if !generator.accepts(HTTP2Exchange.head(status, fields)) {
        session.cancel(id)
        ended(id, asExpected: false)
      }
    case .data(let id, let range):
      counts[id]?.take(for: generator) { $0 += [UInt8](copying: input.bytes.extracting(range)) }
    case .ended(let id): ended(id, asExpected: counts[id]?.events == generator.plan.eventsPerStream)
    case .reset(let id, _): ended(id, asExpected: false)
    case .goAway: break
    case .over: fail()
    }
  }

  private func ended(_ id: HTTP2StreamID, asExpected: Bool) {
    guard counts.removeValue(forKey: id) != nil else { return }
    generator.streamEnded(asExpected: asExpected)
    guard !isOver, generator.replacesStreams else { return }
    generator.streamWasReplaced()
    open()
  }

  private func fail() {
    guard !isOver else { return }
    isOver = true
    for _ in counts { generator.streamEnded(asExpected: false) }
    counts = [:]
    connection.close()
    generator.carrierEnded(self)
  }

  private func flush() {
    guard (try? session.write(to: self)) != nil, !frames.isEmpty else { return }
    connection.write(frames.span)
    frames.removeAll()
  }
}

extension LoadSession: HTTP2Sink {
  var takesBody: Bool { true }

  func write(_ bytes: Span<UInt8>) { frames.append(bytes) }
}
