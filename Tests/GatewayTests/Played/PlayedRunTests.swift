import Gateway
import Loop
import Streams
import Testing
import Time

/// Runs of one gateway, without sockets and without waiting.
@Suite struct PlayedRunTests {
  private func gateway(_ runs: String = "{}", variant: Mode = .graceful) throws -> PlayedGateway {
    try PlayedGateway(PlayedGateway.usual(runs: runs), variant: variant)
  }

  @Test func `a run is read to its end and told how it ended`() throws {
    let gateway = try gateway()
    let (client, backend) = try gateway.open()
    backend.event("one")
    backend.event("[DONE]")
    backend.endStream()
    #expect(client.status == 200)
    #expect(client.data == ["one", "[DONE]"])
    #expect(client.end("outcome") == "completed")
    #expect(client.end("events") == "2")
    #expect(client.ending == .complete)
  }

  @Test func `a backend that is cut off is told as such, in the stream's end`() throws {
    let gateway = try gateway()
    let (client, backend) = try gateway.open()
    backend.event("one")
    backend.finish()
    #expect(client.end("outcome") == "upstream_truncated")
    #expect(client.data == ["one"])
  }

  @Test func `an event that was cut is not delivered as a whole one`() throws {
    let gateway = try gateway()
    let (client, backend) = try gateway.open()
    backend.event("one")
    backend.sendChunk("data: tw")
    backend.finish()
    #expect(client.data == ["one"])
    #expect(client.end("partialEvent") == "true")
  }

  @Test func `events come in the order of the backend, however its bytes are cut`() throws {
    let gateway = try gateway()
    let (client, backend) = try gateway.open()
    let text = (1...9).map { "data: \($0)\n\n" }.joined()
    for letter in text { backend.sendChunk(String(letter)) }
    #expect(client.data == (1...9).map { "\($0)" })
  }

  @Test func `an answer that is no stream passes through as it is`() throws {
    let gateway = try gateway()
    let client = try gateway.request()
    gateway.backends.last?.send("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone")
    gateway.turns()
    #expect(client.status == 404)
    #expect(client.body == "none")
    #expect(client.ending == .complete)
  }

  @Test func `a backend that can't be reached is the gateway's own error`() throws {
    let gateway = try gateway()
    gateway.backends.refuses = true
    let client = try gateway.request()
    #expect(client.status == 502 || client.status == 504)
    #expect(client.ending == .complete)
  }

  // MARK: - Going on

  @Test func `a client goes on behind the event that it names`() throws {
    let gateway = try gateway("{ onDisconnect: \"continue\" }")
    let (first, backend) = try gateway.open()
    for data in ["one", "two", "three"] { backend.event(data) }
    first.leave()
    let second = try gateway.request("GET", "/chat", [("Last-Event-ID", "\(first.stream).1")])
    #expect(second.stream == first.stream)
    #expect(second.data == ["two", "three"])
    backend.event("four")
    #expect(second.data == ["two", "three", "four"])
    #expect(gateway.backends.dials == 1)
  }

  @Test func `who has all of a run that is over is told that it need not come back`() throws {
    let gateway = try gateway()
    let (first, backend) = try gateway.open()
    backend.event("one")
    backend.event("[DONE]")
    backend.endStream()
    let second = try gateway.request("GET", "/chat", [("Last-Event-ID", "\(first.stream).2")])
    #expect(second.status == 204)
    #expect(second.fields["x-stream-outcome"] == "completed")
  }

  @Test func `a run that is over can be read again from its beginning by its stream`() throws {
    let gateway = try gateway()
    let (first, backend) = try gateway.open()
    backend.event("one")
    backend.endStream()
    let second = try gateway.request("GET", "/fermata/streams/\(first.stream)")
    #expect(second.data == ["one"])
    #expect(second.end("outcome") == first.end("outcome"))
  }

  @Test func `to anybody else a run does not exist`() throws {
    let gateway = try gateway("{ onDisconnect: \"continue\" }")
    let (client, backend) = try gateway.open(as: "alice")
    backend.event("secret")
    for path in ["/fermata/streams/\(client.stream)", "/api/agents/run/\(client.stream)"] {
      let other = try gateway.request("GET", path, as: "bob")
      #expect(other.status == 404)
      #expect(!other.body.contains("secret"))
      let unknown = try gateway.request("GET", String(path.dropLast()) + "!", as: "bob")
      #expect(unknown.status == other.status && unknown.body == other.body)
    }
    let stop = try gateway.request("DELETE", "/api/agents/run/\(client.stream)", as: "bob")
    #expect(stop.status == 404)
    backend.event("more")
    #expect(client.data == ["secret", "more"])
  }

  @Test func `who goes on from a run that is not known gets another, and is told so first`() throws {
    let gateway = try gateway()
    let client = try gateway.request(
      "GET", "/chat", [("Last-Event-ID", "00000000000000000000000000000000.7")])
    gateway.backends.last?.openStream()
    gateway.backends.last?.event("one")
    #expect(client.body.contains("event: stream_reset"))
    #expect(client.data == ["one"])
  }

  @Test func `two readers of one run get the same, whenever they came`() throws {
    let gateway = try gateway()
    let (first, backend) = try gateway.open()
    backend.event("one")
    let second = try gateway.request("GET", "/fermata/streams/\(first.stream)")
    backend.event("two")
    backend.event("[DONE]")
    backend.endStream()
    #expect(first.data == second.data)
    #expect(first.end("outcome") == "completed" && second.end("outcome") == "completed")
  }

  // MARK: - Keys and names

  @Test func `a repeated key reads the one run that there is`() throws {
    let gateway = try gateway()
    let key = [("Idempotency-Key", "k1")]
    let (first, backend) = try gateway.open(key)
    backend.event("one")
    let second = try gateway.request("POST", "/chat", key)
    #expect(second.stream == first.stream)
    #expect(second.data == ["one"])
    #expect(gateway.backends.dials == 1)
  }

  @Test func `a repeated key with another request is refused`() throws {
    let gateway = try gateway()
    _ = try gateway.open([("Idempotency-Key", "k1")])
    let other = try gateway.request("POST", "/chat?x=1", [("Idempotency-Key", "k1")])
    #expect(other.status == 422)
    #expect(other.code == "idempotency_key_reused")
  }

  @Test(arguments: ["stream_end=1", "stream_end=0&stream_end=1"])
  func `what a request says of stream_end makes it no other request`(_ query: String) throws {
    let gateway = try gateway()
    let key = [("Idempotency-Key", "k1")]
    let (first, _) = try gateway.open(key)
    let second = try gateway.request("POST", "/chat?\(query)", key)
    #expect(second.stream == first.stream)
    #expect(gateway.backends.dials == 1)
  }

  @Test func `one key of two principals names two runs`() throws {
    let gateway = try gateway()
    let (first, _) = try gateway.open([("Idempotency-Key", "k1")], as: "alice")
    let (second, _) = try gateway.open([("Idempotency-Key", "k1")], as: "bob")
    #expect(first.stream != second.stream)
    #expect(gateway.backends.dials == 2)
  }

  @Test func `a client without credentials names nothing by a key`() throws {
    let gateway = try gateway()
    let (first, _) = try gateway.open([("Idempotency-Key", "k1")], as: "")
    let (second, _) = try gateway.open([("Idempotency-Key", "k1")], as: "")
    #expect(first.stream != second.stream)
  }

  @Test func `a client that opens its stream anew takes it from its first connection`() throws {
    let gateway = try gateway("{ onDisconnect: \"continue\" }")
    let own = [("X-Client-Stream-Id", "tab")]
    let (first, backend) = try gateway.open(own)
    backend.event("one")
    let second = try gateway.request("POST", "/chat", own)
    #expect(first.end("outcome") == "replaced_by_new_stream")
    #expect(second.stream == first.stream)
    backend.event("two")
    #expect(second.data == ["one", "two"])
    #expect(first.data == ["one"])
  }

  // MARK: - Leaving

  @Test func `with "cancel" a run is stopped when its last reader leaves`() throws {
    let gateway = try gateway("{ onDisconnect: \"cancel\" }")
    let (first, backend) = try gateway.open()
    let second = try gateway.request("GET", "/fermata/streams/\(first.stream)")
    first.leave()
    gateway.turns()
    #expect(!backend.isClosed)
    second.leave()
    gateway.turns()
    #expect(backend.isClosed)
  }

  @Test(arguments: [(900, false), (1150, true)])
  func `with "grace" it has that long to be read again`(milliseconds: Int, isClosed: Bool) throws {
    let gateway = try gateway("{ onDisconnect: \"grace=1\" }")
    let (client, backend) = try gateway.open()
    client.leave()
    gateway.pass(.milliseconds(milliseconds))
    #expect(backend.isClosed == isClosed)
  }

  @Test func `who comes back in time begins another time of grace by leaving`() throws {
    let gateway = try gateway("{ onDisconnect: \"grace=1\" }")
    let (first, backend) = try gateway.open()
    first.leave()
    gateway.pass(.milliseconds(800))
    let second = try gateway.request("GET", "/fermata/streams/\(first.stream)")
    gateway.pass(.seconds(2))
    #expect(!backend.isClosed)
    second.leave()
    gateway.pass(.milliseconds(800))
    #expect(!backend.isClosed)
    gateway.pass(.milliseconds(400))
    #expect(backend.isClosed)
  }

  @Test func `with "continue" a run that nobody reads goes on to its end`() throws {
    let gateway = try gateway("{ onDisconnect: \"continue\" }")
    let (first, backend) = try gateway.open()
    first.leave()
    gateway.pass(.seconds(30), tick: .seconds(1))
    backend.event("one")
    backend.event("[DONE]")
    backend.endStream()
    let second = try gateway.request("GET", "/fermata/streams/\(first.stream)")
    #expect(second.data == ["one", "[DONE]"])
    #expect(second.end("outcome") == "completed")
  }

  @Test func `a client may choose what becomes of its run, where the route lets it`() throws {
    for (mayChoose, isClosed) in [(true, false), (false, true)] {
      let gateway = try gateway("{ onDisconnect: \"cancel\", clientMayChoose: \(mayChoose) }")
      let (client, backend) = try gateway.open([("X-On-Disconnect", "continue")])
      client.leave()
      gateway.pass(.seconds(1))
      #expect(backend.isClosed == isClosed)
    }
  }

  @Test func `a client that leaves before there is a stream stops the attempt`() throws {
    let gateway = try gateway("{ onDisconnect: \"cancel\" }")
    let client = try gateway.request()
    let backend = try #require(gateway.backends.last)
    client.leave()
    gateway.turns()
    #expect(backend.isClosed)
  }

  @Test func `as many runs go on unread as may, and the next is stopped`() throws {
    let gateway = try PlayedGateway(
      PlayedGateway.usual(runs: "{ onDisconnect: \"continue\" }", more: "runs: { unread: 2, unreadPerPrincipal: 2 },"))
    var backends: [PlayedConnection] = []
    for _ in 1...3 {
      let (client, backend) = try gateway.open()
      backends.append(backend)
      client.leave()
      gateway.pass(.milliseconds(100))
    }
    #expect(backends.map(\.isClosed) == [false, false, true])
  }

  @Test func `a run that is over is forgotten after its time`() throws {
    let gateway = try gateway("{ ttl: \"10s\" }")
    let (client, backend) = try gateway.open()
    backend.event("one")
    backend.endStream()
    gateway.pass(.seconds(9), tick: .milliseconds(500))
    let again1 = try gateway.request("GET", "/fermata/streams/\(client.stream)")
    #expect(again1.status == 200)
    gateway.pass(.seconds(3), tick: .milliseconds(500))
    let again2 = try gateway.request("GET", "/fermata/streams/\(client.stream)")
    #expect(again2.status == 404)
  }

  // MARK: - Stopping

  @Test func `a run is stopped by its path, and its readers are told`() throws {
    let gateway = try gateway("{ onDisconnect: \"continue\" }")
    let (client, backend) = try gateway.open()
    backend.event("one")
    let stop = try gateway.request("DELETE", "/api/agents/run/\(client.stream)")
    #expect(stop.status == 204)
    #expect(client.end("outcome") == "cancelled")
    #expect(backend.isClosed)
    let again3 = try gateway.request("DELETE", "/api/agents/run/\(client.stream)")
    #expect(again3.status == 204)
  }

  @Test func `how a run stands is told while it runs and when it is over`() throws {
    let gateway = try gateway("{ onDisconnect: \"continue\" }")
    let (client, backend) = try gateway.open()
    backend.event("one")
    let path = "/api/agents/run/\(client.stream)"
    let running = try gateway.request("GET", path)
    #expect(running.body.contains("\"state\":\"running\"") && running.body.contains("\"readers\":1"))
    #expect(running.body.contains("\"sequence\":1") && running.body.contains("\"attempts\":1"))
    backend.event("[DONE]")
    backend.endStream()
    let over = try gateway.request("GET", path)
    #expect(over.body.contains("\"state\":\"ended\"") && over.body.contains("\"outcome\":\"completed\""))
  }

  @Test func `a backend that sends after a run was stopped changes nothing`() throws {
    let gateway = try gateway("{ onDisconnect: \"continue\" }")
    let (client, backend) = try gateway.open()
    _ = try gateway.request("DELETE", "/api/agents/run/\(client.stream)")
    let body = client.body
    backend.event("late")
    backend.endStream()
    #expect(client.body == body)
  }

  // MARK: - Slow clients

  @Test func `a slow client holds up nobody, and gets all when it reads again`() throws {
    let gateway = try gateway()
    let (slow, backend) = try gateway.open()
    let quick = try gateway.request("GET", "/fermata/streams/\(slow.stream)")
    slow.isStuck = true
    let large = String(repeating: "x", count: 20 << 10)
    for number in 1...40 { backend.event("\(number)\(large)") }
    gateway.turns(40)
    #expect(quick.data.count == 40)
    #expect(slow.data.count < 30)
    #expect(slow.queuedBytes < 400 << 10)
    slow.isStuck = false
    slow.drain()
    gateway.turns(40)
    #expect(slow.data == quick.data)
  }

  @Test func `a client that takes nothing for the stall time is let go, and its run goes on`() throws {
    let gateway = try gateway("{ onDisconnect: \"continue\" }")
    let (slow, backend) = try gateway.open()
    slow.isStuck = true
    let large = String(repeating: "x", count: 30 << 10)
    for _ in 1...20 { backend.event(large) }
    gateway.turns(20)
    for _ in 1...31 {
      gateway.pass(.seconds(1), tick: .seconds(1))
      _ = slow.exchange?.timePassed(gateway.loop.now)
    }
    #expect(slow.isAbandoned)
    #expect(!backend.isClosed)
  }

  // MARK: - Modes

  @Test func `a legacy client of a kept run gets the backend's bytes`() throws {
    let gateway = try gateway("{ onDisconnect: \"continue\" }", variant: .legacy)
    let (client, backend) = try gateway.open(prefersEnd: false)
    backend.sendChunk("id: 7\ndata: one\n\n:note\n\ndata: two\n\n")
    backend.endStream()
    #expect(client.body == "id: 7\ndata: one\n\n:note\n\ndata: two\n\n")
    #expect(client.ending == .complete)
  }

  @Test func `a legacy client of a run that was cut sees the cut`() throws {
    let gateway = try gateway("{ onDisconnect: \"continue\" }", variant: .legacy)
    let (client, backend) = try gateway.open(prefersEnd: false)
    backend.sendChunk("data: one\n\n")
    backend.finish()
    #expect(client.body == "data: one\n\n")
    #expect(client.ending == .cut)
  }

  @Test func `a hard kill ends open streams the old way`() throws {
    let gateway = try gateway()
    let (client, backend) = try gateway.open()
    backend.event("one")
    gateway.kill(.hard)
    backend.event("[DONE]")
    backend.endStream()
    #expect(client.data == ["one", "[DONE]"])
    #expect(client.end("outcome") == nil)
    #expect(client.ending == .complete)
  }

  @Test func `a kill that is not hard leaves open streams their end`() throws {
    let gateway = try gateway()
    let (client, backend) = try gateway.open()
    gateway.kill(.announced)
    backend.event("[DONE]")
    backend.endStream()
    #expect(client.end("outcome") == "completed")
    let (later, _) = try gateway.open()
    #expect(later.fields["x-stream-mode"] == "legacy")
  }

  // MARK: - Time

  @Test func `a backend without a first event ends by its time limit`() throws {
    let gateway = try gateway()
    let (client, backend) = try gateway.open()
    gateway.pass(.seconds(34), tick: .milliseconds(500))
    #expect(!client.isOver)
    gateway.pass(.seconds(3), tick: .milliseconds(500))
    #expect(client.end("outcome") == "first_token_timeout")
    #expect(backend.isClosed)
  }

  @Test func `a backend that falls silent ends by its time limit, counted from its last event`() throws {
    let gateway = try gateway()
    let (client, backend) = try gateway.open()
    gateway.pass(.seconds(30), tick: .seconds(1))
    backend.event("one")
    gateway.pass(.seconds(54), tick: .seconds(1))
    #expect(!client.isOver)
    gateway.pass(.seconds(3), tick: .seconds(1))
    #expect(client.end("outcome") == "idle_timeout")
  }

  @Test func `a silent stream is kept alive by comments`() throws {
    let gateway = try gateway()
    let (client, backend) = try gateway.open()
    backend.event("one")
    let before = client.body
    for _ in 1...13 {
      gateway.pass(.seconds(1), tick: .seconds(1))
      _ = client.exchange?.timePassed(gateway.loop.now)
    }
    #expect(client.body.dropFirst(before.count).hasPrefix(":"))
    #expect(client.data == ["one"])
  }

  // MARK: - Draining

  @Test func `runs that must end for a shutdown say so`() throws {
    let gateway = try gateway("{ onDisconnect: \"continue\" }")
    let (client, backend) = try gateway.open()
    backend.event("one")
    gateway.endRuns()
    #expect(client.end("outcome") == "draining")
    #expect(client.end("resumable") == "false")
    #expect(backend.isClosed)
  }

  @Test func `a drain waits for a run that nobody reads`() throws {
    let gateway = try gateway("{ onDisconnect: \"continue\" }")
    let (client, backend) = try gateway.open()
    client.leave()
    var isDrained = false
    gateway.drain { isDrained = true }
    gateway.turns()
    #expect(!isDrained)
    backend.event("[DONE]")
    backend.endStream()
    gateway.turns()
    #expect(isDrained)
  }

  // MARK: - Memory

  @Test func `a run that is larger than it may be ends with its name for that`() throws {
    let gateway = try gateway("{ limit: \"64KiB\" }")
    let (client, backend) = try gateway.open()
    let large = String(repeating: "x", count: 8 << 10)
    for _ in 1...12 { backend.event(large) }
    gateway.turns(20)
    #expect(client.end("outcome") == "run_too_large" || client.data.count == 12)
    #expect(gateway.process.memoryInUse < 1 << 20)
  }

  @Test func `an event that is larger than it may be ends the run`() throws {
    let gateway = try PlayedGateway(PlayedGateway.usual(stream: "{ eventLimit: \"4KiB\" }"))
    let (client, backend) = try gateway.open()
    backend.event("small")
    backend.event(String(repeating: "x", count: 8 << 10))
    #expect(client.end("outcome") == "event_too_large")
    #expect(client.data == ["small"])
  }

  @Test func `what runs held is given back when they are forgotten`() throws {
    let gateway = try gateway("{ ttl: \"1s\" }")
    let before = gateway.process.memoryInUse
    for _ in 1...5 {
      let (client, backend) = try gateway.open()
      backend.event(String(repeating: "x", count: 4000))
      backend.endStream()
      client.leave()
    }
    #expect(gateway.process.memoryInUse >= before + 20_000)
    gateway.pass(.seconds(4), tick: .milliseconds(200))
    #expect(gateway.process.memoryInUse == before)
  }
}
