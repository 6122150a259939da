import Gateway
import Loop
import Runs
import Streams
import Testing
import Time

/// The store is away, or loses an answer, at each step of a run.
@Suite struct PlayedOutageTests {
  private let truth = PlayedTruth()
  private static let key = [("Idempotency-Key", "k1")]

  private func gateway(_ policy: String, _ runs: String = "") throws -> PlayedGateway {
    try .replica(truth, runs: "whenStoreFails: \"\(policy)\", \(runs)")
  }

  // MARK: - A run begins

  @Test(arguments: ["claimKey", "claim"], StoreTrouble.allCases)
  func `a run that must be kept and can't be claimed is refused, and its key is free`(
    step: String, trouble: StoreTrouble
  ) throws {
    let a = try gateway("refuse")
    truth.troubles = [step: trouble]
    let refused = try a.request("POST", "/chat", Self.key)
    #expect(refused.status == 503 && refused.code == "run_store_lost")
    #expect(a.backends.dials == 0)
    truth.troubles = [:]
    #expect(truth.keys.isEmpty)
    let served = try a.request("POST", "/chat", Self.key)
    try a.serveWhole(from: a.backends.last, to: served)
    #expect(a.backends.dials == 1)
  }

  @Test(arguments: ["claimKey", "claim"], StoreTrouble.allCases)
  func `a run that may do without the store begins, once`(step: String, trouble: StoreTrouble) throws {
    let a = try gateway("degrade")
    truth.troubles = [step: trouble]
    let client = try a.request("POST", "/chat", Self.key)
    let second = try a.request("POST", "/chat", Self.key)
    try a.serveWhole(from: a.backends.last, to: client)
    #expect(second.stream == client.stream && second.data == client.data)
    #expect(client.end("resumable") == "false")
    #expect(a.backends.dials == 1)
  }

  @Test(arguments: ["claimKey", "claim"], StoreTrouble.allCases)
  func `a client that leaves while the store loses its answer leaves the key free`(
    step: String, trouble: StoreTrouble
  ) throws {
    let a = try gateway("refuse")
    truth.troubles = [step: trouble]
    truth.holdsBack = [step]
    let client = try a.request("POST", "/chat", Self.key)
    client.leave()
    a.turns()
    truth.letGo()
    a.turns()
    #expect(truth.keys.isEmpty)
    #expect(a.backends.dials == 0)
  }

  // MARK: - A client goes on

  @Test(arguments: ["degrade", "refuse"], ["lookup", "remainingWait"])
  func `who goes on from a stream is not given another while the store can't tell of it`(
    policy: String, step: String
  ) throws {
    let a = try gateway(policy)
    truth.troubles = [step: .refused]
    let last = [("Last-Event-ID", "AAAAAAAAAAAAAAAAAAAAAA.1")]
    let refused = try a.request("GET", "/chat", last)
    #expect(refused.status == 503 && refused.code == "run_store_lost")
    #expect(a.backends.dials == 0)
    truth.troubles = [:]
    let served = try a.request("GET", "/chat", last)
    try a.serveWhole(from: a.backends.last, to: served)
  }

  @Test(arguments: ["degrade", "refuse"], ["X-Client-Stream-Id", "Idempotency-Key"])
  func `who goes on from a backend's event under a name is not given another run either`(
    policy: String, name: String
  ) throws {
    let (a, b) = (try gateway(policy, "onDisconnect: \"continue\""), try gateway(policy))
    let own = (name, "mine")
    let (first, backend) = try a.open([own])
    backend.sendChunk("id: e1\ndata: one\n\n")
    turns(a, b)
    first.leave()
    turns(a, b)
    for isKnown in [true, false] {
      // Known to be away, or found to be so.
      truth.isAway = isKnown
      truth.troubles = ["find": .refused]
      let refused = try b.request("POST", "/chat", [own, ("Last-Event-ID", "e1")])
      turns(a, b)
      #expect(refused.status == 503, "\(isKnown)")
    }
    #expect(b.backends.dials == 0)
    truth.troubles = [:]
    let second = try b.request("POST", "/chat", [own, ("Last-Event-ID", "e1")])
    turns(a, b)
    backend.event("two")
    turns(a, b)
    #expect(second.stream == first.stream && second.data == ["two"])
    #expect(b.backends.dials == 0)
  }

  @Test func `a request for another gateway's run is told that the store is away, and not that there is none`() throws {
    let (a, b) = (try gateway("degrade"), try gateway("degrade"))
    let (owner, _) = try a.open()
    turns(a, b)
    truth.goAway()
    for (method, path) in [
      ("GET", "/fermata/streams/\(owner.stream)"), ("GET", "/api/agents/run/\(owner.stream)"),
      ("DELETE", "/api/agents/run/\(owner.stream)"), ("GET", "/api/agents/stream/job-1"),
    ] {
      let client = try b.request(method, path)
      #expect(client.status == 503, "\(method) \(path)")
    }
    let stop = try a.request("DELETE", "/api/agents/run/\(owner.stream)")
    a.turns()
    #expect(stop.status == 204 && owner.end("outcome") == "cancelled", "its own run it can stop all the same")
  }

  // MARK: - A run goes on

  @Test func `a store that comes back gets what it lacks, the end included`() throws {
    let (a, b) = (try gateway("degrade"), try gateway("degrade"))
    let (owner, backend) = try a.open()
    backend.event("one")
    turns(a, b)
    truth.goAway()
    backend.event("two")
    backend.event("[DONE]")
    backend.endStream()
    turns(a, b)
    #expect(owner.end("outcome") == "completed" && owner.end("resumable") == "false")
    truth.comeBack()
    turns(a, b)
    let late = try b.request("GET", "/fermata/streams/\(owner.stream)")
    turns(a, b)
    #expect(late.data == owner.data && late.end("outcome") == "completed")
    // For a lease it is watched over, because the store may lose it again.
    #expect(truth.runs.values.first?.owner != nil)
    a.pass(.seconds(11), tick: .seconds(1))
    #expect(truth.runs.values.first?.owner == nil)
  }

  @Test func `a run that must be kept ends with its store, and with the same end for all when that is back`() throws {
    let (a, b) = (try gateway("refuse"), try gateway("refuse"))
    let (owner, backend) = try a.open()
    backend.event("one")
    turns(a, b)
    truth.goAway()
    backend.event("two")
    turns(a, b)
    #expect(owner.data == ["one"] && owner.end("outcome") == "gateway_error" && backend.isClosed)
    truth.comeBack()
    turns(a, b)
    let late = try b.request("GET", "/fermata/streams/\(owner.stream)")
    turns(a, b)
    #expect(late.end("outcome") == "gateway_error")
    #expect(late.data.prefix(1) == ["one"])
  }

  @Test func `a store that is lost before the stream opens costs a run that may do without it nothing`() throws {
    let a = try gateway("degrade")
    let client = try a.request()
    truth.goAway()
    a.turns()
    try a.serveWhole(from: a.backends.last, to: client)
    #expect(client.end("resumable") == "false")
  }

  @Test func `a run whose readers elsewhere can't be asked for goes on until they can`() throws {
    let a = try gateway("degrade", "onDisconnect: \"cancel\"")
    let (client, backend) = try a.open()
    a.turns()
    truth.troubles = ["readersElsewhere": .unanswered]
    client.leave()
    a.pass(.seconds(3))
    #expect(!backend.isClosed)
    truth.troubles = [:]
    a.pass(.seconds(2))
    #expect(backend.isClosed)
  }

  @Test func `a store that comes and goes loses and doubles nothing`() throws {
    let (a, b) = (try gateway("degrade"), try gateway("degrade"))
    let (owner, backend) = try a.open()
    for number in 1...12 {
      if number % 4 == 2 { truth.goAway() }
      backend.event("\(number)")
      turns(a, b, count: 2)
      if number % 4 == 0 { truth.comeBack() }
      turns(a, b, count: 2)
    }
    backend.event("[DONE]")
    backend.endStream()
    turns(a, b)
    let all = (1...12).map { "\($0)" } + ["[DONE]"]
    let late = try b.request("GET", "/fermata/streams/\(owner.stream)")
    turns(a, b)
    #expect(owner.data == all && late.data == all)
    #expect(owner.end("outcome") == "completed" && late.end("outcome") == "completed")
  }

  // MARK: - Workers

  @Test(arguments: StoreTrouble.allCases)
  func `a silent worker's readers are told though its end can't be written`(_ trouble: StoreTrouble) throws {
    let a = try gateway("degrade")
    let job = try #require(RunID("job-1"))
    truth.write("one", to: job)
    let client = try a.request("GET", "/api/agents/stream/job-1")
    a.turns()
    truth.troubles = ["endWorkers": trouble]
    a.pass(.seconds(302), tick: .seconds(1))
    #expect(client.data == ["one"] && client.end("outcome") == "idle_timeout")
  }

  @Test func `an event that comes while its worker is found silent counts as a sign of life`() throws {
    let a = try gateway("degrade")
    let job = try #require(RunID("job-1"))
    truth.write("one", to: job)
    let client = try a.request("GET", "/api/agents/stream/job-1")
    a.turns()
    truth.holdsBack = ["endWorkers"]
    a.pass(.seconds(302), tick: .seconds(1))
    truth.write("two", to: job)
    truth.letGo()
    a.turns()
    #expect(client.data == ["one", "two"] && !client.isOver)
    #expect(truth.runs[job]?.end == nil)
  }
}
