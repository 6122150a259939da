import Gateway
import Streams
import Testing
import Time

/// Two loops of one process: clients of a run that lives on the other loop.
@Suite struct PlayedLoopTests {
  private func two(_ runs: String) throws -> (PlayedGateway, PlayedGateway) {
    let configuration = PlayedGateway.usual(runs: runs)
    let first = try PlayedGateway(configuration)
    return (first, try PlayedGateway(configuration, beside: first))
  }

  @Test func `a copy gets what its run has and what comes`() throws {
    let (a, b) = try two("{}")
    let (owner, backend) = try a.open()
    backend.event("one")
    let reader = try b.request("GET", "/fermata/streams/\(owner.stream)")
    turns(a, b)
    backend.event("two")
    turns(a, b)
    backend.event("[DONE]")
    backend.endStream()
    turns(a, b)
    #expect(reader.data == ["one", "two", "[DONE]"])
    #expect(reader.end("outcome") == "completed")
  }

  @Test func `a copy's readers count at the run`() throws {
    let (a, b) = try two("{ onDisconnect: \"cancel\" }")
    let (owner, backend) = try a.open()
    let reader = try b.request("GET", "/fermata/streams/\(owner.stream)")
    turns(a, b)
    owner.leave()
    turns(a, b)
    #expect(!backend.isClosed)
    backend.event("one")
    turns(a, b)
    #expect(reader.data == ["one"])
    reader.leave()
    turns(a, b)
    #expect(backend.isClosed)
  }

  @Test func `a run is stopped from another loop`() throws {
    let (a, b) = try two("{ onDisconnect: \"continue\" }")
    let (owner, backend) = try a.open()
    let stop = try b.request("DELETE", "/api/agents/run/\(owner.stream)")
    turns(a, b)
    #expect(stop.status == 204)
    #expect(backend.isClosed)
    #expect(owner.end("outcome") == "cancelled")
  }

  @Test func `one key on two loops at once starts one run`() throws {
    let (a, b) = try two("{}")
    let key = [("Idempotency-Key", "k1")]
    let first = try a.request("POST", "/chat", key)
    let second = try b.request("POST", "/chat", key)
    turns(a, b)
    #expect(a.backends.dials + b.backends.dials == 1)
    a.backends.last?.openStream()
    a.backends.last?.event("one")
    turns(a, b)
    #expect(first.data == ["one"] && second.data == ["one"])
    #expect(second.stream == first.stream)
  }

  @Test func `a client that opens its stream on another loop takes it from the first`() throws {
    let (a, b) = try two("{ onDisconnect: \"continue\" }")
    let own = [("X-Client-Stream-Id", "tab")]
    let (first, backend) = try a.open(own)
    backend.event("one")
    let second = try b.request("POST", "/chat", own)
    turns(a, b)
    #expect(first.end("outcome") == "replaced_by_new_stream")
    #expect(second.stream == first.stream)
    #expect(second.data == ["one"])
  }

  @Test func `how a run stands counts readers on all loops`() throws {
    let (a, b) = try two("{}")
    let (owner, _) = try a.open()
    _ = try b.request("GET", "/fermata/streams/\(owner.stream)")
    turns(a, b)
    let look = try b.request("GET", "/api/agents/run/\(owner.stream)")
    turns(a, b)
    #expect(look.body.contains("\"readers\":2"))
  }

  @Test func `a run that ends before a copy could begin is unknown to it, or read to its end`() throws {
    let (a, b) = try two("{ onDisconnect: \"cancel\" }")
    let (owner, backend) = try a.open()
    backend.event("one")
    let reader = try b.request("GET", "/fermata/streams/\(owner.stream)", turns: 0)
    owner.leave()
    turns(a, b)
    #expect(reader.isOver)
    #expect(reader.status == 404 || reader.end("outcome") == "cancelled")
  }

  @Test func `a copy whose reader is slow holds up neither the run nor others`() throws {
    let (a, b) = try two("{}")
    let (owner, backend) = try a.open()
    let slow = try b.request("GET", "/fermata/streams/\(owner.stream)")
    turns(a, b)
    slow.isStuck = true
    let large = String(repeating: "x", count: 20 << 10)
    for number in 1...40 { backend.event("\(number)\(large)") }
    turns(a, b, count: 60)
    #expect(owner.data.count == 40)
    #expect(slow.data.count < 40)
    slow.isStuck = false
    slow.drain()
    turns(a, b, count: 60)
    #expect(slow.data == owner.data)
  }
}
