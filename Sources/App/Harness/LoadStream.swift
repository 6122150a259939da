internal import Bytes
internal import Loop
internal import Sockets

/// One stream of a load over HTTP/1.1: counts stamped events and knows whether its response ended as it should.
final class LoadStream: ConnectionHandler, LoadCarrier {
  private unowned let generator: LoadGenerator
  private let connection: any Connection
  private var count = StampedCount()
  private var head: [UInt8] = []
  private var body: WireBody?

  init(_ connection: any Connection, generator: LoadGenerator) {
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
    count.take(for: generator) { _ = body?.take(bytes, into: &$0) }
    switch body?.state {
    case .complete?: end(asExpected: count.events == generator.plan.eventsPerStream)
    case .broken?: end(asExpected: false)
    case .open?, nil: break
    }
  }

  private func end(asExpected: Bool) {
    connection.close()
    generator.streamEnded(asExpected: asExpected)
    generator.carrierEnded(self)
  }
}
