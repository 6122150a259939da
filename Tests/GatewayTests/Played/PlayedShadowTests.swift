import Gateway
import Loop
import Streams
import Testing
import Time

/// What a backend sends after its legacy client has left at the completion event is read on, to count what clients miss.
@Suite struct PlayedShadowTests {
  private func gateway(tail: Bool = true) throws -> PlayedGateway {
    try PlayedGateway(PlayedGateway.direct(more: "shadow: { tail: \(tail) },"), variant: .legacy)
  }

  /// A legacy client and its backend, which has sent one event.
  private func stream(_ gateway: PlayedGateway) throws -> (client: PlayedClient, backend: PlayedConnection) {
    let (client, backend) = try gateway.open(prefersEnd: false)
    backend.event("one")
    gateway.turns()
    return (client, backend)
  }

  private func complete(_ stream: (client: PlayedClient, backend: PlayedConnection), _ gateway: PlayedGateway) {
    stream.backend.sendChunk("event: complete\ndata: all\n\n")
    gateway.turns()
    stream.client.leave()
    gateway.turns()
  }

  @Test func `for two seconds`() throws {
    let gateway = try gateway()
    let stream = try stream(gateway)
    complete(stream, gateway)
    #expect(!stream.backend.isClosed)
    stream.backend.event("late")
    gateway.pass(.milliseconds(1900))
    #expect(!stream.backend.isClosed)
    gateway.pass(.milliseconds(200))
    #expect(stream.backend.isClosed)
  }

  @Test func `for 64 KiB`() throws {
    let gateway = try gateway()
    let stream = try stream(gateway)
    complete(stream, gateway)
    stream.backend.event(String(repeating: "x", count: 60 << 10))
    gateway.turns()
    #expect(!stream.backend.isClosed)
    stream.backend.event(String(repeating: "x", count: 5 << 10))
    gateway.turns()
    #expect(stream.backend.isClosed)
  }

  @Test func `a client that leaves before the completion event takes its backend along`() throws {
    let gateway = try gateway()
    let stream = try stream(gateway)
    stream.client.leave()
    gateway.turns()
    #expect(stream.backend.isClosed)
  }

  @Test func `not unless the configuration says so`() throws {
    let gateway = try gateway(tail: false)
    let stream = try stream(gateway)
    complete(stream, gateway)
    #expect(stream.backend.isClosed)
  }

  @Test func `of 64 clients at once`() throws {
    let gateway = try gateway()
    let streams = try (0..<65).map { _ in try stream(gateway) }
    for stream in streams { complete(stream, gateway) }
    #expect(streams.map(\.backend.isClosed) == [Bool](repeating: false, count: 64) + [true])
    // Backends that end, with their answer or in the middle of it, make room for others.
    let next = try (0..<3).map { _ in try stream(gateway) }
    streams[0].backend.finish()
    streams[1].backend.endStream()
    gateway.turns()
    for stream in next { complete(stream, gateway) }
    #expect(next.map(\.backend.isClosed) == [false, false, true])
  }

  @Test func `not in a drain`() throws {
    let gateway = try gateway()
    let stream = try stream(gateway)
    gateway.drain()
    complete(stream, gateway)
    #expect(stream.backend.isClosed)
  }
}
