import Gateway
import Runs
import Streams
import Testing
import Time

/// Two gateways with one store, and what can happen between them: each race in a few lines, without Redis.
@Suite struct PlayedReplicaTests {
  private let truth = PlayedTruth()

  private var onlyRun: PlayedTruth.Record? { truth.runs.count == 1 ? truth.runs.values.first : nil }

  @Test func `a run of one gateway is read on another, to its end`() throws {
    let (a, b) = try truth.replicas()
    let (owner, backend) = try a.open()
    backend.event("one")
    turns(a, b)
    let reader = try b.read(owner, of: a)
    backend.event("two")
    backend.event("[DONE]")
    backend.endStream()
    turns(a, b)
    #expect(owner.data == ["one", "two", "[DONE]"])
    #expect(reader.data == owner.data)
    #expect(reader.stream == owner.stream)
    #expect(reader.end("outcome") == "completed" && owner.end("outcome") == "completed")
    #expect(b.backends.dials == 0)
  }

  @Test func `nobody sees an event before it is stored`() throws {
    let (a, _) = try truth.replicas()
    let (client, backend) = try a.open()
    backend.event("one")
    #expect(client.data.isEmpty)
    a.turns()
    #expect(client.data == ["one"])
    #expect(truth.runs.values.first?.blocks.count == 1)
  }

  @Test func `a client goes on behind its event on another gateway`() throws {
    let (a, b) = try truth.replicas("onDisconnect: \"continue\"")
    let (first, backend) = try a.open()
    for data in ["one", "two", "three"] { backend.event(data) }
    turns(a, b)
    first.leave()
    let second = try b.request("GET", "/chat", [("Last-Event-ID", "\(first.stream).2")])
    turns(a, b)
    #expect(second.stream == first.stream)
    #expect(second.data == ["three"])
  }

  @Test func `to another principal a run is unknown on every gateway`() throws {
    let (a, b) = try truth.replicas()
    let (client, backend) = try a.open(as: "alice")
    backend.event("secret")
    turns(a, b)
    let other = try b.request("GET", "/fermata/streams/\(client.stream)", as: "bob")
    turns(a, b)
    #expect(other.status == 404)
    #expect(!other.body.contains("secret"))
    let stop = try b.request("DELETE", "/api/agents/run/\(client.stream)", as: "bob")
    turns(a, b)
    #expect(stop.status == 404)
    #expect(!client.isOver)
  }

  // MARK: - Keys

  @Test func `one key on two gateways at once starts one run`() throws {
    let (a, b) = try truth.replicas()
    let key = [("Idempotency-Key", "k1")]
    let first = try a.request("POST", "/chat", key)
    let second = try b.request("POST", "/chat", key)
    turns(a, b)
    #expect(a.backends.dials + b.backends.dials == 1)
    let backend = try #require(a.backends.last ?? b.backends.last)
    backend.openStream()
    backend.event("one")
    backend.event("[DONE]")
    backend.endStream()
    turns(a, b)
    #expect(first.data == ["one", "[DONE]"])
    #expect(second.data == first.data && second.stream == first.stream)
  }

  @Test func `a key that was used on one gateway is refused to another request on the other`() throws {
    let (a, b) = try truth.replicas()
    _ = try a.open([("Idempotency-Key", "k1")])
    let other = try b.request("POST", "/chat?x=1", [("Idempotency-Key", "k1")])
    turns(a, b)
    #expect(other.status == 422)
    #expect(other.code == "idempotency_key_reused")
  }

  @Test func `a backend's answer that is no stream frees the key`() throws {
    let (a, b) = try truth.replicas()
    let key = [("Idempotency-Key", "k1")]
    let first = try a.request("POST", "/chat", key)
    a.backends.last?.send("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
    turns(a, b)
    #expect(first.status == 500)
    #expect(truth.keys.isEmpty)
    _ = try b.request("POST", "/chat", key)
    turns(a, b)
    #expect(b.backends.dials == 1)
  }

  @Test func `a client that leaves while its key is claimed leaves nothing behind`() throws {
    let a = try PlayedGateway.replica(truth)
    let client = try PlayedGateway.replica(truth).request("GET", "/nothing")
    #expect(client.status == 404)
    let leaving = try a.request("POST", "/chat", [("Idempotency-Key", "k1")], turns: 0)
    leaving.leave()
    a.turns()
    #expect(truth.keys.isEmpty)
    #expect(a.backends.dials == 0)
  }

  @Test(arguments: 1...3)
  func `a client that leaves while its run is claimed leaves no run that has an owner`(turns: Int) throws {
    let a = try PlayedGateway.replica(truth, runs: "onDisconnect: \"cancel\"")
    let leaving = try a.request("POST", "/chat", [("Idempotency-Key", "k1")], turns: turns)
    leaving.leave()
    a.turns()
    #expect(truth.keys.isEmpty)
    #expect(truth.runs.values.allSatisfy { $0.owner == nil })
    #expect(a.backends.connections.allSatisfy { $0.isClosed })
  }

  // MARK: - Stopping

  @Test func `a stop reaches the run's owner from another gateway`() throws {
    let (a, b) = try truth.replicas("onDisconnect: \"continue\"")
    let (owner, backend) = try a.open()
    backend.event("one")
    turns(a, b)
    let reader = try b.read(owner, of: a)
    let stop = try b.request("DELETE", "/api/agents/run/\(owner.stream)")
    turns(a, b)
    #expect(stop.status == 204)
    #expect(backend.isClosed)
    #expect(owner.end("outcome") == "cancelled" && reader.end("outcome") == "cancelled")
  }

  @Test func `a stop that races with the run's end gives it one end, the same for all`() throws {
    let (a, b) = try truth.replicas()
    let (owner, backend) = try a.open()
    let reader = try b.read(owner, of: a)
    _ = try b.request("DELETE", "/api/agents/run/\(owner.stream)", turns: 0)
    backend.event("[DONE]")
    backend.endStream()
    turns(a, b)
    let outcome = try #require(owner.end("outcome"))
    #expect(outcome == "completed" || outcome == "cancelled")
    #expect(reader.end("outcome") == outcome)
    #expect(truth.runs.values.first?.end?.outcome.rawValue == outcome)
  }

  @Test func `how a run of another gateway stands is told`() throws {
    let (a, b) = try truth.replicas()
    let (owner, backend) = try a.open()
    backend.event("one")
    turns(a, b)
    let look = try b.request("GET", "/api/agents/run/\(owner.stream)")
    turns(a, b)
    #expect(look.status == 200)
    #expect(look.body.contains("\"state\":\"running\"") && look.body.contains("\"readers\":1"))
  }

  @Test func `a run goes on, on every gateway, until its end is stored`() throws {
    let (a, b) = try truth.replicas()
    let (owner, backend) = try a.open()
    backend.event("one")
    turns(a, b)
    func looks() throws -> [String] {
      try [a, b].map { gateway in
        let look = try gateway.request("GET", "/api/agents/run/\(owner.stream)")
        turns(a, b)
        return ["state", "outcome"].map { look.member($0) }.joined(separator: " ")
      }
    }
    truth.holdsBack = ["append"]
    backend.event("[DONE]")
    backend.endStream()
    turns(a, b)
    a.pass(.milliseconds(200))
    #expect(!owner.isOver)
    #expect(try looks() == ["running null", "running null"])
    truth.letGo()
    turns(a, b)
    #expect(owner.end("outcome") == "completed")
    #expect(try looks() == ["ended completed", "ended completed"])
    #expect(onlyRun?.progress?.phase == .ended)
  }

  @Test func `a run that has entries is not called opening, whatever its owner told last`() throws {
    let (a, b) = try truth.replicas()
    let (owner, backend) = try a.open()
    backend.event("one")
    turns(a, b)
    // As if it had been killed before it told that the stream is open.
    let run = try #require(truth.runs.keys.first)
    truth.runs[run]?.progress?.phase = .opening
    let look = try b.request("GET", "/api/agents/run/\(owner.stream)")
    turns(a, b)
    #expect(look.member("state") == "running" && look.member("sequence") == "1")
  }

  // MARK: - Owners that die

  @Test func `readers of a run whose owner died are told that its gateway is gone`() throws {
    let (a, b) = try truth.replicas()
    let (owner, backend) = try a.open()
    backend.event("one")
    turns(a, b)
    let reader = try b.read(owner, of: a)
    truth.takeAway(try #require(truth.runs.keys.first))
    turns(a, b)
    #expect(reader.data == ["one"])
    #expect(reader.end("outcome") == "gateway_error")
    // The owner that only seemed to be dead ends its own readers, and what it writes is not read.
    #expect(owner.end("outcome") == "gateway_error")
    backend.event("late")
    turns(a, b)
    #expect(truth.runs.values.first?.blocks.count == 1)
  }

  // MARK: - Readers elsewhere

  @Test func `a run goes on as long as it is read on any gateway`() throws {
    let (a, b) = try truth.replicas("onDisconnect: \"cancel\"")
    let (owner, backend) = try a.open()
    turns(a, b)
    let reader = try b.read(owner, of: a)
    owner.leave()
    turns(a, b)
    a.pass(.seconds(3))
    #expect(!backend.isClosed)
    backend.event("one")
    turns(a, b)
    #expect(reader.data == ["one"])
    reader.leave()
    turns(a, b)
    a.pass(.seconds(3))
    #expect(backend.isClosed)
    #expect(truth.runs.values.first?.end?.outcome == .cancelled)
  }

  @Test func `while the store can't say whether a run is read elsewhere it goes on`() throws {
    let a = try PlayedGateway.replica(truth, runs: "onDisconnect: \"cancel\"")
    let (client, backend) = try a.open()
    a.turns()
    truth.isAway = true
    client.leave()
    a.pass(.seconds(2))
    #expect(!backend.isClosed)
    truth.isAway = false
    a.pass(.seconds(3))
    #expect(backend.isClosed)
  }

  @Test func `a client that opens its stream on another gateway takes it from the first`() throws {
    let (a, b) = try truth.replicas("onDisconnect: \"continue\"")
    let own = [("X-Client-Stream-Id", "tab")]
    let (first, backend) = try a.open(own)
    backend.event("one")
    turns(a, b)
    let second = try b.request("POST", "/chat", own)
    turns(a, b)
    #expect(first.end("outcome") == "replaced_by_new_stream")
    #expect(second.stream == first.stream)
    #expect(second.data == ["one"])
    #expect(b.backends.dials == 0)
  }

  // MARK: - A store that is away

  @Test func `a run goes on without its store, where it may`() throws {
    let a = try PlayedGateway.replica(truth, runs: "whenStoreFails: \"degrade\"")
    let (client, backend) = try a.open()
    backend.event("one")
    a.turns()
    truth.goAway()
    backend.event("two")
    backend.event("[DONE]")
    backend.endStream()
    a.turns()
    #expect(client.data == ["one", "two", "[DONE]"])
    #expect(client.end("outcome") == "completed")
    #expect(client.end("resumable") == "false")
  }

  @Test func `a run ends with its store, where it must`() throws {
    let a = try PlayedGateway.replica(truth, runs: "whenStoreFails: \"refuse\"")
    let (client, backend) = try a.open()
    backend.event("one")
    a.turns()
    truth.goAway()
    a.turns()
    #expect(client.data == ["one"])
    #expect(client.end("outcome") == "gateway_error")
    #expect(backend.isClosed)
  }

  @Test func `without its store a run begins, or is refused where that is set`() throws {
    truth.isAway = true
    let degrading = try PlayedGateway.replica(truth, runs: "whenStoreFails: \"degrade\"")
    let (client, backend) = try degrading.open()
    backend.event("[DONE]")
    backend.endStream()
    degrading.turns()
    #expect(client.end("outcome") == "completed")
    let refusing = try PlayedGateway.replica(truth, runs: "whenStoreFails: \"refuse\"")
    let refused = try refusing.request()
    #expect(refused.status == 503)
    #expect(refused.code == "run_store_lost")
    #expect(refusing.backends.dials == 0)
  }

  @Test func `readers of another gateway's run are told when the store is lost`() throws {
    let (a, b) = try truth.replicas()
    let (owner, backend) = try a.open()
    backend.event("one")
    turns(a, b)
    let reader = try b.read(owner, of: a)
    truth.goAway()
    turns(a, b)
    #expect(reader.data == ["one"])
    #expect(reader.end("outcome") == "gateway_error")
    #expect(!owner.isOver)
  }

  @Test func `a stream of which a store that is away may know is not begun anew`() throws {
    let a = try PlayedGateway.replica(truth)
    truth.isAway = true
    let client = try a.request("GET", "/chat", [("Last-Event-ID", "AAAAAAAAAAAAAAAAAAAAAA.1")])
    #expect(client.status == 503)
    #expect(a.backends.dials == 0)
  }

  // MARK: - Bounds

  @Test func `a client may make the store keep so many runs, and goes on without after that`() throws {
    let a = try PlayedGateway.replica(truth, more: "stored: 2, storedPerPrincipal: 2,")
    for _ in 1...2 { _ = try a.open() }
    #expect(truth.runs.count == 2)
    let (third, backend) = try a.open()
    backend.event("[DONE]")
    backend.endStream()
    a.turns()
    #expect(truth.runs.count == 2)
    #expect(third.end("outcome") == "completed")
    let keyed = try a.request("POST", "/chat", [("Idempotency-Key", "k1")])
    #expect(keyed.status == 503 && keyed.code == "overload")
    #expect(truth.keys.isEmpty)
  }

  // MARK: - Workers

  @Test func `a worker's run is read as it is written, by several clients alike`() throws {
    let (a, b) = try truth.replicas()
    let job = try #require(RunID("job-1"))
    truth.write("one", to: job)
    let first = try a.request("GET", "/api/agents/stream/job-1")
    turns(a, b)
    let second = try b.request("GET", "/api/agents/stream/job-1")
    turns(a, b)
    truth.write("two", to: job)
    turns(a, b)
    truth.finish(job, .completed)
    turns(a, b)
    #expect(first.data == ["one", "two"])
    #expect(second.data == first.data && second.stream == first.stream)
    #expect(first.end("outcome") == "completed" && second.end("outcome") == "completed")
  }

  @Test func `a worker's run belongs to who read it first`() throws {
    let (a, b) = try truth.replicas()
    truth.write("secret", to: try #require(RunID("job-1")))
    _ = try a.request("GET", "/api/agents/stream/job-1", as: "alice")
    turns(a, b)
    let other = try b.request("GET", "/api/agents/stream/job-1", as: "bob")
    turns(a, b)
    #expect(other.status == 404)
    #expect(!other.body.contains("secret"))
  }

  @Test func `a worker that is silent is asked to stop, and its readers are told`() throws {
    let a = try PlayedGateway.replica(truth)
    let job = try #require(RunID("job-1"))
    let client = try a.request("GET", "/api/agents/stream/job-1")
    a.pass(.seconds(299), tick: .seconds(1))
    #expect(client.status == 200 && !client.isOver)
    a.pass(.seconds(2), tick: .milliseconds(500))
    #expect(client.end("outcome") == "first_token_timeout")
    #expect(truth.runs[job]?.isCancelled == true)
    #expect(truth.runs[job]?.end?.outcome == .firstTokenTimeout)
  }

  @Test func `a worker that is asked to stop has a second to say how it ended`() throws {
    let a = try PlayedGateway.replica(truth)
    let job = try #require(RunID("job-1"))
    truth.write("one", to: job)
    let client = try a.request("GET", "/api/agents/stream/job-1")
    let stop = try a.request("DELETE", "/api/agents/run/job-1")
    a.turns()
    #expect(stop.status == 204)
    a.pass(.milliseconds(900))
    #expect(!client.isOver)
    a.pass(.milliseconds(1200))
    #expect(client.end("outcome") == "cancelled")
  }

  @Test func `a worker that says how it ended is believed`() throws {
    let a = try PlayedGateway.replica(truth)
    let job = try #require(RunID("job-1"))
    truth.write("one", to: job)
    let client = try a.request("GET", "/api/agents/stream/job-1")
    _ = try a.request("DELETE", "/api/agents/run/job-1")
    truth.finish(job, .completed)
    a.pass(.seconds(3))
    #expect(client.end("outcome") == "completed")
  }
}
