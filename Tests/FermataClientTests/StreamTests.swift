import FermataClient
import Foundation
import Harness
import RunningGateway
import Testing

/// A transport whose responses are played, and which knows what was left.
private final class PlayedTransport: StreamTransport, @unchecked Sendable {
  private let lock = NSLock()
  private var left = 0
  private var sent: [TransportRequest] = []
  let pieces: [String]

  init(_ pieces: [String]) { self.pieces = pieces }

  var cancelled: Int { lock.withLock { left } }
  var requests: [TransportRequest] { lock.withLock { sent } }

  func send(_ request: TransportRequest) async throws -> any TransportResponse {
    lock.withLock { sent.append(request) }
    return Response(self)
  }

  fileprivate func leave() { lock.withLock { left += 1 } }

  private final class Response: TransportResponse, @unchecked Sendable {
    let status = 200
    let headers = [(name: "Content-Type", value: "text/event-stream")]
    private let transport: PlayedTransport
    private let lock = NSLock()
    private var next = 0

    init(_ transport: PlayedTransport) { self.transport = transport }

    func next() async throws -> [UInt8]? {
      let piece = lock.withLock {
        next += 1
        return next <= transport.pieces.count ? transport.pieces[next - 1] : nil
      }
      if let piece { return Array(piece.utf8) }
      // The server is silent until the client leaves.
      try await Task.sleep(for: .seconds(60))
      return nil
    }

    func cancel() { transport.leave() }
  }
}

private final class Lines: StreamLogger, @unchecked Sendable {
  private let lock = NSLock()
  private var all: [(StreamLogLevel, String, [String: String])] = []
  var lines: [(StreamLogLevel, String, [String: String])] { lock.withLock { all } }
  func log(_ level: StreamLogLevel, _ message: String, _ metadata: [String: String]) {
    lock.withLock { all.append((level, message, metadata)) }
  }
}

private func eventually(_ isTrue: () async -> Bool) async -> Bool {
  for _ in 0..<500 {
    if await isTrue() { return true }
    try? await Task.sleep(for: .milliseconds(10))
  }
  return await isTrue()
}

struct StreamTests {
  private let url = URL(string: "http://127.0.0.1:9/")

  private func stream(_ transport: PlayedTransport) throws -> FermataStream {
    FermataClient(transport: transport).stream(try #require(url))
  }

  @Test func `a stream has one consumer, whom a second one does not disturb`() async throws {
    let stream = try stream(PlayedTransport(["data: a\n\n", "data: b\n\ndata: [DONE]\n\n"]))
    var first = stream.makeAsyncIterator()
    #expect(try await first.next() == .event(ServerEvent(data: "a")))
    for _ in 0..<2 {
      var second = stream.makeAsyncIterator()
      let error = await #expect(throws: FermataError.self) { _ = try await second.next() }
      #expect(error?.code == "already_iterated" && error?.isRetryable == false)
    }
    #expect(try await first.next() == .event(ServerEvent(data: "b")))
  }

  @Test func `breaking out of the loop ends the request`() async throws {
    let transport = PlayedTransport(["data: a\n\n", "data: b\n\n"])
    let stream = try stream(transport)
    for try await _ in stream { break }
    #expect(await eventually { transport.cancelled == 1 })
    #expect(await stream.result.outcome == "aborted")
  }

  @Test func `cancelling the task ends the request, and the loop throws`() async throws {
    let transport = PlayedTransport(["data: a\n\n"])
    let stream = try stream(transport)
    let task = Task { for try await _ in stream {} }
    #expect(await eventually { await stream.eventsReceived == 1 })
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect(await eventually { transport.cancelled == 1 })
  }

  @Test func `closing from elsewhere ends the loop`() async throws {
    let transport = PlayedTransport(["data: a\n\n"])
    let stream = try stream(transport)
    let task = Task { for try await _ in stream {} }
    #expect(await eventually { await stream.eventsReceived == 1 })
    await stream.close()
    try await task.value
    #expect(transport.cancelled == 1)
  }

  @Test func `nothing is sent before the first message is asked for`() async throws {
    let transport = PlayedTransport([])
    let stream = try stream(transport)
    try await Task.sleep(for: .milliseconds(50))
    #expect(transport.requests.isEmpty)
    await stream.close()
    #expect(await stream.result.outcome == "aborted")
  }

  @Test func `no more is read than the queue holds`() async throws {
    let transport = PlayedTransport(Array(repeating: "data: \(String(repeating: "x", count: 1000))\n\n", count: 5000))
    var options = StreamOptions()
    options.maximumQueuedBytes = 100_000
    let stream = FermataClient(options: options, transport: transport).stream(try #require(url))
    var iterator = stream.makeAsyncIterator()
    _ = try await iterator.next()
    try await Task.sleep(for: .milliseconds(300))
    #expect(await stream.bytesReceived < 200_000)
    await stream.close()
  }

  @Test func `silence behind a queue that was full is noticed`() async throws {
    let transport = PlayedTransport(["data: \(String(repeating: "x", count: 1000))\n\n"])
    var options = StreamOptions()
    options.maximumQueuedBytes = 500
    options.deadTimeout = .after(.milliseconds(500))
    let stream = FermataClient(options: options, transport: transport).stream(try #require(url))
    let begun = ContinuousClock.now
    await #expect(throws: FermataError.self) {
      for try await _ in stream { try await Task.sleep(for: .milliseconds(300)) }
    }
    #expect(await stream.result.outcome == "cut")
    #expect(ContinuousClock.now - begun < .seconds(5))
  }

  @Test func `nothing secret is logged, and leaving is a debug line`() async throws {
    let lines = Lines()
    var options = StreamOptions()
    options.logger = lines
    options.headers = { _ in ["Authorization": "secret1"] }
    let transport = PlayedTransport(["data: secret2\n\n"])
    let address = try #require(URL(string: "http://127.0.0.1:9/?key=secret3"))
    let stream = FermataClient(options: options, transport: transport).stream(address)
    for try await _ in stream { break }
    #expect(await eventually { lines.lines.contains { $0.1 == "SSE end" } })
    #expect(!"\(lines.lines)".contains("secret"))
    #expect(lines.lines.filter { $0.2["outcome"] == "aborted" }.allSatisfy { $0.0 == .debug })
    #expect(transport.requests.first?.headers.contains { $0.value == "secret1" } == true)
  }

  @Test func `each line of the log is a fixed sentence, and says as data what happened`() async throws {
    let lines = Lines()
    var options = StreamOptions()
    options.logger = lines
    options.retry.base = .milliseconds(1)
    options.retry.attempts = 2
    let backend = try ScriptedBackend.start { request in
      request.number == 0
        ? .plain(status: 503, Array("busy".utf8))
        : Script([.head(), .event("error", "{\"type\":\"overloaded\"}"), .end])
    }
    defer { backend.stop() }
    let stream = FermataClient(options: options).stream(try #require(URL(string: "\(backend.url)/")))
    await #expect(throws: FermataError.self) { for try await _ in stream {} }
    #expect(await stream.result.outcome == "upstream_error")
    #expect(await eventually { lines.lines.count == 4 })
    #expect(lines.lines.map(\.1) == ["SSE connection error", "SSE reconnect", "SSE open", "Agent run error"])
    #expect(lines.lines.map(\.0) == [.warning, .info, .info, .error])
    let data = lines.lines.map(\.2)
    #expect(data.allSatisfy { $0["runId"] == "" }, "a plain server has no run")
    #expect(data.first?["attempt"] == "1" && data.first?["status"] == "503" && data[1]["delayMs"] != nil)
    #expect(data[2]["attempt"] == "2" && data.last?["errorData"] == "upstream_error" && data.last?["events"] == "1")
  }

  @Test func `a real gateway's stream is complete and verified`() async throws {
    try await World.with(World.Setup(variant: "graceful")) { world in
      let address = "http://\(world.gateway.address)/script?events=3&complete=complete&trailing=1"
      let stream = FermataClient().stream(try #require(URL(string: address)))
      var types: [String] = []
      for try await message in stream {
        if case .event(let event) = message { types.append(event.type) }
      }
      let result = await stream.result
      #expect(types == ["token", "token", "token", "complete", "trailing"])
      #expect(result.isComplete && result.isVerified && result.mode == "graceful")
      await stream.close()
    }
  }
}
