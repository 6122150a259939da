import Gateway
import Loop
import Streams
import Testing
import Time

/// Runs that somebody stops, and what becomes of those who wait for them.
@Suite struct PlayedCancelTests {
  private func gateway(_ variant: Mode = .graceful) throws -> PlayedGateway {
    let runs = #"onDisconnect: "continue""#
    return try PlayedGateway(
      """
      {
        upstreams: { b: { url: "http://backend" } },
        routes: [
          { name: "work", path: "/work/:runId", upstreams: "b", runs: { name: "runId", \(runs) } },
          { name: "chat", path: "/chat", methods: ["POST", "GET"], upstreams: "b", runs: { \(runs) } },
        ],
      }
      """, variant: variant)
  }

  private func stop(_ gateway: PlayedGateway, _ name: String, as user: String = "alice") throws -> PlayedClient {
    try gateway.request("DELETE", "/api/agents/run/\(name)", as: user)
  }

  @Test func `every reader of a run that is stopped is told, and gets what came before`() throws {
    let gateway = try gateway()
    let (first, backend) = try gateway.open()
    backend.event("one")
    let others = try (0..<3).map { _ in try gateway.request("GET", "/fermata/streams/\(first.stream)") }
    #expect(try stop(gateway, first.stream).status == 204)
    for client in [first] + others {
      #expect(client.data == ["one"] && client.end("outcome") == "cancelled")
      #expect(client.ending == .complete)
    }
    #expect(backend.isClosed)
  }

  @Test func `a run that nobody reads is stopped too, and read as stopped later`() throws {
    let gateway = try gateway()
    let (client, backend) = try gateway.open()
    backend.event("one")
    client.leave()
    gateway.pass(.seconds(1))
    #expect(!backend.isClosed)
    #expect(try stop(gateway, client.stream).status == 204)
    #expect(backend.isClosed)
    let late = try gateway.request("GET", "/fermata/streams/\(client.stream)")
    #expect(late.data == ["one"] && late.end("outcome") == "cancelled")
    let whole = try gateway.request("GET", "/chat", [("Last-Event-ID", "\(client.stream).1")])
    #expect(whole.status == 204 && whole.fields["x-stream-outcome"] == "cancelled")
    #expect(gateway.backends.dials == 1)
  }

  @Test(arguments: [Mode.graceful, .legacy])
  func `a run is stopped by the name that its path has, before there is a stream`(mode: Mode) throws {
    let gateway = try gateway(mode)
    let client = try gateway.request("POST", "/work/job-1", prefersEnd: mode == .graceful)
    let backend = try #require(gateway.backends.last)
    #expect(client.status == 0)
    #expect(try stop(gateway, "job-1").status == 204)
    gateway.turns()
    if mode == .graceful {
      #expect(client.status == 200 && client.end("outcome") == "cancelled", "a stream can tell it best")
    } else {
      #expect(client.status == 503 && client.code == "run_stopped" && client.fields["retry-after"] == "1")
    }
    #expect(client.isOver && backend.isClosed)
    backend.openStream()
    gateway.turns()
    #expect(client.data.isEmpty)
  }

  @Test func `who waits for another's run is told of the stop as the other is, and so is who repeats it`() throws {
    let gateway = try gateway()
    let key = [("Idempotency-Key", "k1")]
    let clients = try (0..<2).map { _ in try gateway.request("POST", "/work/job-1", key) }
    #expect(gateway.backends.dials == 1)
    _ = try stop(gateway, "job-1")
    gateway.turns()
    let again = try gateway.request("POST", "/work/job-1", key)
    for client in clients + [again] {
      #expect(client.end("outcome") == "cancelled" && client.stream == clients[0].stream)
    }
    #expect(gateway.backends.dials == 1, "what was stopped is not begun again by a repeat")
  }

  @Test func `nobody stops another's run, nor learns that there is one`() throws {
    let gateway = try gateway()
    let client = try gateway.request("POST", "/work/job-1")
    let backend = try #require(gateway.backends.last)
    backend.openStream()
    gateway.turns()
    let refusals = try ["job-1", "job-2", client.stream].map { try stop(gateway, $0, as: "bob") }
    #expect(refusals.allSatisfy { $0.status == 404 && $0.code == "unknown_run" })
    #expect(!backend.isClosed && !client.isOver)
    #expect(try stop(gateway, "job-1").status == 204)
  }

  @Test func `a stop in the moment of the end leaves the end that there is`() throws {
    let gateway = try gateway()
    let (client, backend) = try gateway.open()
    backend.event("[DONE]")
    backend.endStream()
    #expect(try stop(gateway, client.stream).status == 204)
    let late = try gateway.request("GET", "/fermata/streams/\(client.stream)")
    #expect(client.end("outcome") == "completed" && late.end("outcome") == "completed")
  }

  @Test func `a slow reader of a run that was stopped gets all of it, and the end behind it`() throws {
    let gateway = try gateway()
    let (slow, backend) = try gateway.open()
    slow.isStuck = true
    let large = String(repeating: "x", count: 30 << 10)
    for number in 1...30 { backend.event("\(number)\(large)") }
    gateway.turns(40)
    #expect(slow.data.count < 30)
    _ = try stop(gateway, slow.stream)
    #expect(slow.end("outcome") == nil)
    slow.isStuck = false
    for _ in 0..<20 { slow.drain() }
    gateway.turns(40)
    #expect(slow.data.count == 30 && slow.end("outcome") == "cancelled")
  }
}
