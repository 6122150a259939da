import Gateway
import Loop
import Runs
import Streams
import Testing
import Time

/// What can come between a run's owner and its end, or between two gateways that begin the same thing.
@Suite struct PlayedRaceTests {
  private let truth = PlayedTruth()

  private func finish(_ backend: PlayedConnection) {
    backend.event("[DONE]")
    backend.endStream()
  }

  private var onlyRun: PlayedTruth.Record? { truth.runs.count == 1 ? truth.runs.values.first : nil }

  // MARK: - A lease that is lost

  @Test(arguments: [Mode.graceful, .legacy])
  func `a lease that is lost before there is a stream ends the request, and lets its backend go`(_ mode: Mode) throws {
    let a = try PlayedGateway.replica(truth, variant: mode)
    let client = try a.request("POST", "/chat", [("Idempotency-Key", "k1")])
    let backend = try #require(a.backends.last)
    truth.takeAway(try #require(truth.runs.keys.first))
    a.turns()
    #expect(client.isOver && backend.isClosed)
    #expect(client.status == 503 || client.end("outcome") == "gateway_error")
    backend.openStream()
    a.turns()
    #expect(onlyRun?.blocks.isEmpty == true)
  }

  @Test func `a repeat of a request whose gateway lost its lease begins anew, once`() throws {
    let (a, b) = try truth.replicas()
    let key = [("Idempotency-Key", "k1")]
    let (first, _) = try a.open(key)
    truth.takeAway(try #require(truth.runs.keys.first))
    turns(a, b)
    #expect(first.end("outcome") == "gateway_error")
    let repeats = [try b.request("POST", "/chat", key), try a.request("POST", "/chat", key)]
    turns(a, b) { a.backends.dials + b.backends.dials == 2 }
    let backend = try #require(b.backends.last ?? a.backends.connections.last)
    backend.openStream()
    backend.event("one")
    finish(backend)
    turns(a, b) { repeats.allSatisfy(\.isOver) }
    #expect(repeats.map(\.data) == [["one", "[DONE]"], ["one", "[DONE]"]])
    #expect(a.backends.dials + b.backends.dials == 2)
  }

  @Test func `a lease that is lost in the moment of the run's end leaves one end, the same for all`() throws {
    let (a, b) = try truth.replicas()
    let (owner, backend) = try a.open()
    backend.event("one")
    turns(a, b)
    let reader = try b.read(owner, of: a)
    truth.takeAway(try #require(truth.runs.keys.first))
    finish(backend)
    turns(a, b)
    let outcome = onlyRun?.end?.outcome.rawValue
    #expect(outcome == "gateway_error")
    #expect(owner.end("outcome") == outcome && reader.end("outcome") == outcome)
    #expect(owner.data == ["one"] && reader.data == ["one"])
  }

  @Test func `an end that is stored before the lease is lost stays the run's end`() throws {
    let (a, b) = try truth.replicas()
    let (owner, backend) = try a.open()
    backend.event("one")
    finish(backend)
    turns(a, b)
    truth.takeAway(try #require(truth.runs.keys.first))
    turns(a, b)
    let reader = try b.read(owner, of: a)
    #expect(owner.end("outcome") == "completed" && reader.end("outcome") == "completed")
  }

  @Test func `a run that goes on without its store does so when its lease is lost`() throws {
    let (a, b) = try truth.replicas("whenStoreFails: \"degrade\"")
    let (owner, backend) = try a.open()
    backend.event("one")
    turns(a, b)
    truth.goAway()
    turns(a, b)
    truth.takeAway(try #require(truth.runs.keys.first))
    backend.event("two")
    finish(backend)
    turns(a, b)
    truth.comeBack()
    turns(a, b)
    #expect(owner.data == ["one", "two", "[DONE]"])
    #expect(owner.end("outcome") == "completed" && owner.end("resumable") == "false")
    let late = try b.read(owner, of: a)
    #expect(late.data == ["one"] && late.end("outcome") == "gateway_error")
  }

  // MARK: - Stops

  @Test func `a stop before there is a stream ends the request, on whatever gateway it lands`() throws {
    let (a, b) = try truth.replicas("onDisconnect: \"continue\"")
    let client = try a.request("POST", "/chat", [("Idempotency-Key", "k1")])
    turns(a, b)
    let run = try #require(truth.runs.keys.first)
    let stop = try b.request("DELETE", "/api/agents/run/\(run)")
    turns(a, b)
    #expect(stop.status == 204)
    #expect(client.status == 503 || client.end("outcome") == "cancelled")
    #expect(try #require(a.backends.last).isClosed)
    #expect(onlyRun?.end?.outcome == .cancelled)
  }

  @Test func `a stop that comes while the run is being claimed is not forgotten`() throws {
    let (a, b) = try truth.replicas("onDisconnect: \"continue\"")
    truth.holdsBack = ["claim"]
    let client = try a.request("POST", "/chat", [("Idempotency-Key", "k1")])
    turns(a, b)
    let run = try #require(truth.keys.values.first?.run)
    truth.runs[run, default: PlayedTruth.Record()].isCancelled = true
    let record = truth.runs.removeValue(forKey: run)
    truth.letGo()
    truth.runs[run]?.isCancelled = record?.isCancelled ?? false
    truth.wake()
    turns(a, b)
    #expect(client.isOver)
    #expect(a.backends.connections.allSatisfy { $0.isClosed })
  }

  @Test func `a stop of a run that is over changes nothing`() throws {
    let (a, b) = try truth.replicas()
    let (owner, backend) = try a.open()
    finish(backend)
    turns(a, b)
    let stops = [
      try a.request("DELETE", "/api/agents/run/\(owner.stream)"),
      try b.request("DELETE", "/api/agents/run/\(owner.stream)"),
    ]
    turns(a, b)
    #expect(stops.map(\.status) == [204, 204])
    let reader = try b.read(owner, of: a)
    #expect(reader.end("outcome") == "completed" && onlyRun?.end?.outcome == .completed)
  }

  @Test func `two gateways that stop a worker's run give it one end`() throws {
    let (a, b) = try truth.replicas()
    let job = try #require(RunID("job-1"))
    truth.write("one", to: job)
    let readers = [try a.request("GET", "/api/agents/stream/job-1"), try b.request("GET", "/api/agents/stream/job-1")]
    turns(a, b)
    _ = try a.request("DELETE", "/api/agents/run/job-1")
    _ = try b.request("DELETE", "/api/agents/run/job-1")
    turns(a, b)
    for gateway in [a, b] { gateway.pass(.milliseconds(2_100)) }
    turns(a, b)
    #expect(readers.map { $0.end("outcome") } == ["cancelled", "cancelled"])
    #expect(readers.map { $0.end("events") } == ["1", "1"])
  }

  // MARK: - Two that begin at the same moment

  @Test(arguments: ["claimKey", "claim"])
  func `a key that two gateways claim at once starts one run, however slow the first one is`(step: String) throws {
    let (a, b) = try truth.replicas()
    let key = [("Idempotency-Key", "k1")]
    truth.holdsBack = [step]
    let first = try a.request("POST", "/chat", key)
    let second = try b.request("POST", "/chat", key)
    turns(a, b)
    #expect(a.backends.dials + b.backends.dials == 0)
    truth.letGo()
    turns(a, b) { a.backends.last != nil || b.backends.last != nil }
    let backend = try #require(a.backends.last ?? b.backends.last)
    backend.openStream()
    backend.event("one")
    turns(a, b) { first.data == ["one"] && second.data == ["one"] }
    #expect(first.data == ["one"] && second.data == ["one"])
    #expect(first.stream == second.stream)
    #expect(a.backends.dials + b.backends.dials == 1)
  }

  @Test func `of two requests under a client's own name at once one keeps its stream`() throws {
    let (a, b) = try truth.replicas("onDisconnect: \"continue\"")
    let own = [("X-Client-Stream-Id", "tab")]
    let clients = [try a.request("POST", "/chat", own), try b.request("POST", "/chat", own)]
    turns(a, b)
    for gateway in [a, b] { gateway.backends.last?.openStream() }
    turns(a, b)
    #expect(clients.filter { !$0.isOver }.count == 1)
    let ended = try #require(clients.first { $0.isOver })
    #expect(ended.end("outcome") == "replaced_by_new_stream")
  }

  @Test func `a client that opens its stream anew before there is one takes it all the same`() throws {
    let gateway = try PlayedGateway()
    let own = [("X-Client-Stream-Id", "tab")]
    let first = try gateway.request("POST", "/chat", own)
    let second = try gateway.request("POST", "/chat", own)
    #expect(gateway.backends.dials == 1)
    let backend = try #require(gateway.backends.last)
    backend.openStream()
    backend.event("one")
    gateway.turns()
    #expect(first.end("outcome") == "replaced_by_new_stream" && first.data.isEmpty)
    #expect(second.data == ["one"])
  }

  @Test func `a client that leaves while another waits for its run leaves it the run`() throws {
    let (a, b) = try truth.replicas("onDisconnect: \"cancel\"")
    let key = [("Idempotency-Key", "k1")]
    let first = try a.request("POST", "/chat", key)
    let second = try b.request("POST", "/chat", key)
    turns(a, b) { truth.runs.values.first?.readers.count == 2 }
    first.leave()
    turns(a, b)
    a.pass(.seconds(2))
    let backend = try #require(a.backends.last)
    #expect(!backend.isClosed)
    backend.openStream()
    backend.event("one")
    finish(backend)
    turns(a, b)
    #expect(second.data == ["one", "[DONE]"])
  }

  // MARK: - What changes while the store is waited for

  @Test(arguments: ["claimKey", "claim"])
  func `a request that waits for the store goes on by the configuration that it began with`(step: String) throws {
    let a = try PlayedGateway.replica(truth)
    truth.holdsBack = [step]
    let client = try a.request("POST", "/chat", [("Idempotency-Key", "k1")])
    try a.adopt(PlayedGateway.direct().replacing("http://backend", with: "http://other"))
    a.turns()
    truth.letGo()
    a.turns()
    #expect(a.backends.hosts == ["backend"])
    let backend = try #require(a.backends.last)
    backend.openStream()
    backend.event("one")
    finish(backend)
    a.turns()
    #expect(client.data == ["one", "[DONE]"] && client.end("outcome") == "completed")
    #expect(onlyRun?.end?.outcome == .completed)
    _ = try a.request("GET", "/chat")
    #expect(a.backends.hosts == ["backend", "other"])
  }

  @Test func `a drain waits for a request that waits for the store`() throws {
    let a = try PlayedGateway.replica(truth)
    truth.holdsBack = ["claim"]
    let client = a.connect(sending: "POST /chat HTTP/1.1\r\nHost: g\r\nPrefer: stream-end\r\nContent-Length: 0\r\n\r\n")
    var isDrained = false
    a.drain { isDrained = true }
    a.turns()
    #expect(!isDrained && !client.isClosed)
    truth.letGo()
    a.turns()
    let backend = try #require(a.backends.last)
    backend.openStream()
    finish(backend)
    a.turns()
    #expect(client.received.contains("stream_end") && client.received.contains("Connection: close"))
    client.finish()
    a.turns()
    #expect(isDrained)
  }

  @Test func `a kill while a request waits for the store leaves it the mode that it was given`() throws {
    let a = try PlayedGateway.replica(truth)
    truth.holdsBack = ["claim"]
    let client = try a.request()
    a.kill(.none)
    truth.letGo()
    a.turns()
    let backend = try #require(a.backends.last)
    backend.openStream()
    finish(backend)
    a.turns()
    #expect(client.fields["x-stream-mode"] == "graceful" && client.end("outcome") == "completed")
  }

  // MARK: - Clocks

  @Test func `clocks that are an hour apart make no difference to a run that is over`() throws {
    let (ahead, behind) = (PlayedClock(at: MonotonicTime(nanoseconds: 5_000_000_000_000)), PlayedClock())
    ahead.civilTimeAhead = .seconds(3600)
    let a = try PlayedGateway.replica(truth, clock: ahead)
    let b = try PlayedGateway.replica(truth, clock: behind)
    let (owner, backend) = try a.open()
    backend.event("one")
    turns(a, b)
    let running = try b.request("GET", "/api/agents/run/\(owner.stream)")
    turns(a, b)
    #expect(running.body.contains("\"milliseconds\":0"), "no negative age: \(running.body)")
    let reader = try b.read(owner, of: a)
    a.pass(.seconds(7))
    finish(backend)
    turns(a, b)
    let over = try b.request("GET", "/api/agents/run/\(owner.stream)")
    turns(a, b)
    #expect(over.body.contains("\"milliseconds\":7"), "\(over.body)")
    #expect(reader.data == ["one", "[DONE]"] && reader.end("outcome") == "completed")
  }

  @Test func `a time of grace begins when the last reader leaves, wherever it was`() throws {
    let (a, b) = try truth.replicas("onDisconnect: \"grace=2\"")
    let (owner, backend) = try a.open()
    turns(a, b)
    let reader = try b.read(owner, of: a)
    owner.leave()
    turns(a, b)
    a.pass(.seconds(7))
    #expect(!backend.isClosed)
    reader.leave()
    turns(a, b)
    a.pass(.milliseconds(1_900))
    #expect(!backend.isClosed, "it is given its time")
    a.pass(.milliseconds(3_300))
    #expect(backend.isClosed)
    #expect(onlyRun?.end?.outcome == .cancelled)
  }
}

extension String {
  fileprivate func replacing(_ old: String, with new: String) -> String {
    var text = self
    while let range = text.firstRange(of: old) { text.replaceSubrange(range, with: new) }
    return text
  }
}
