import Bytes
import Loop
import RedisLog
import Runs
import SSE
import Streams
import Testing
import Time

struct RunKeysTests {
  @Test func `keys are what workers know`() throws {
    let run = try #require(RunID("r-1"))
    let keys = RunKeys()
    #expect(keys.events(of: run) == "ai:run:r-1:events")
    #expect(keys.cancel(of: run) == "ai:run:r-1:cancel")
    #expect(keys.owner(of: run) == "ai:run:r-1:owner")
    #expect(keys.meta(of: run) == "ai:run:r-1:meta")
    #expect(keys.cancelChannel == "ai:run:cancel")
    #expect(RunKeys(prefix: "x:", usesHashTags: true).events(of: run) == "x:run:{r-1}:events")
    let hash = Digest([[1]])
    #expect(keys.idempotency(of: hash) == "ai:idem:\(hash.description)")
  }

  @Test(arguments: [
    "", "a b", "a:b", "a/b", "{a}", "a\n", "a\u{0}", "ä", "a%20", String(repeating: "a", count: 129), "*", "a?b",
  ]) func `what could be another key is no run's id`(text: String) {
    #expect(RunID(text) == nil)
    #expect(RunID(parsing: Array(text.utf8).span) == nil)
  }

  @Test(arguments: ["a", "A.b_c~d-9", String(repeating: "z", count: 128)]) func `an id is what URLs need no escape for`(
    text: String
  ) {
    #expect(RunID(text)?.description == text)
    #expect(RunID(parsing: Array(text.utf8).span)?.description == text)
  }

  @Test func `entry ids are ordered as Redis orders them`() {
    #expect(EntryID(1, 9) < EntryID(2, 0))
    #expect(EntryID(2, 0) < EntryID(2, 1))
    #expect(EntryID(7, .max).next == EntryID(8, 0))
    #expect(EntryID(parsing: Array("18446744073709551615-3".utf8).span) == EntryID(.max, 3))
    for text in ["", "1", "1-", "-1", "1-x", "18446744073709551616-0", "1-2-3"] {
      #expect(EntryID(parsing: Array(text.utf8).span) == nil)
    }
  }
}

@Suite(.enabled(if: RedisServer.isAvailable), .serialized) struct RunStoreTests {
  let test: TestLoop
  let server: RedisServer
  let run = RunID("run-1")!

  init() throws {
    test = try TestLoop()
    server = try RedisServer()
  }

  private func store(on loop: TestLoop? = nil, _ change: (inout RedisSettings) -> Void = { _ in }) -> RunRecords {
    var settings = RedisSettings()
    change(&settings)
    return RunRecords(redis: (loop ?? test).connection(server.port), settings: settings)
  }

  private func meta(_ number: UInt64, source: RunWriter = .gateway) -> RunMeta {
    RunMeta(
      principal: Digest([[UInt8(number)]]), stream: token(number), created: WallTime(milliseconds: 1_700_000_000_123),
      contentType: "text/event-stream; charset=utf-8", source: source)
  }

  private func token(_ number: UInt64) -> StreamID { StreamID(random: (number, 77)) }

  private func wait<Value>(on loop: TestLoop? = nil, _ begin: (@escaping (Value) -> Void) -> Void) throws -> Value {
    var value: Value?
    begin { value = $0 }
    (loop ?? test).run(until: { value != nil })
    return try #require(value)
  }

  @Test func `of eight that claim a run at once one gets it, the others its meta`() throws {
    let stores = (0..<8).map { _ in store() }
    defer { for store in stores { store.redis.close() } }
    var claims: [Int: Result<RunClaim, RedisError>] = [:]
    for (index, store) in stores.enumerated() {
      store.claim(run, token: token(UInt64(index)), meta: meta(UInt64(index))) { claims[index] = $0 }
    }
    test.run(until: { claims.count == 8 })
    let winners = claims.filter { $0.value == .success(.mine) }.map(\.key)
    #expect(winners.count == 1)
    let known = meta(UInt64(winners[0]))
    #expect(claims.filter { $0.value == .success(.others(known)) }.count == 7)
  }

  @Test func `what was claimed before an answer was lost is the claimant's when it asks again`() throws {
    let store = store()
    defer { store.redis.close() }
    let (key, request) = (Digest([[1]]), Digest([[2]]))
    for _ in 0..<2 {
      #expect(try wait { store.claim(run, token: token(1), meta: meta(1), $0) } == .success(.mine))
      #expect(try wait { store.claimIdempotency(key, run: run, request: request, $0) } == .success(.mine))
    }
    #expect(try wait { store.claim(run, token: token(2), meta: meta(2), $0) } == .success(.others(meta(1))))
    // Asked in the moment in which the connection is cut.
    for round in 0..<20 {
      try server.cli("CLIENT", "KILL", "TYPE", "normal")
      #expect(try wait { store.lookup(run, $0) }.state?.meta == meta(1), "\(round)")
    }
  }

  @Test func `a claim outlives connections that are cut again and again, for as long as one command may take`() throws {
    let store = store()
    defer { store.redis.close() }
    var claim: Result<RunClaim, RedisError>?
    func cut() throws {
      // Redis takes the command, answers nothing, and cuts.
      test.run(until: { store.redis.isReady && store.redis.pendingCommands > 0 || claim != nil })
      test.run(for: .milliseconds(20))
      try server.cli("CLIENT", "KILL", "TYPE", "normal")
      test.run(until: { !store.redis.isReady || claim != nil })
    }
    // First the loop's lease is asked for before the claim, then the claim alone.
    for _ in 0..<2 {
      try server.cli("CLIENT", "PAUSE", "60000", "WRITE")
      claim = nil
      store.claim(run, token: token(1), meta: meta(1)) { claim = $0 }
      for _ in 0..<4 { try cut() }
      #expect(claim == nil)
      try server.cli("CLIENT", "UNPAUSE")
      test.run(until: { claim != nil })
      #expect(claim == .success(.mine))
    }
  }

  @Test func `a claim whose time is over fails when the connection is cut once more`() throws {
    var limits = RedisConnection.Limits()
    limits.command = .milliseconds(900)
    for isHeld in [false, true] {
      let store = RunRecords(redis: test.connection(server.port, limits: limits), settings: RedisSettings())
      defer { store.redis.close() }
      if isHeld { _ = try wait { store.claim(run, token: token(1), meta: meta(1), $0) } }
      try server.cli("CLIENT", "PAUSE", "60000", "WRITE")
      var claim: Result<RunClaim, RedisError>?
      let begin = test.loop.readClock()
      store.claim(run, token: token(1), meta: meta(1)) { claim = $0 }
      var cuts = 0
      while claim == nil, cuts < 100 {
        test.run(for: .milliseconds(100))
        try server.cli("CLIENT", "KILL", "TYPE", "normal")
        cuts += 1
      }
      try server.cli("CLIENT", "UNPAUSE")
      guard case .failure(.connectionLost) = claim else {
        Issue.record("\(String(describing: claim))")
        continue
      }
      #expect(test.loop.readClock() - begin >= limits.command && cuts > 2)
    }
  }

  @Test func `a Redis that has lost its data gets what it must know of a run again`() throws {
    let store = store {
      $0.lease = .milliseconds(600)
      $0.renewal = .milliseconds(150)
    }
    defer { store.redis.close() }
    let (key, request) = (Digest([[1]]), Digest([[2]]))
    _ = try wait { store.claim(run, token: token(1), meta: meta(1), $0) }
    _ = try wait { store.claimIdempotency(key, run: run, request: request, $0) }
    var losses = 0
    let lease = RunLease(
      store: store, run: run, token: token(1), meta: meta(1), idempotency: (key, request)
    ) { losses += 1 }
    try server.cli("FLUSHALL")
    test.run(until: { (try? server.cli("EXISTS", "ai:run:run-1:owner", "ai:idem:\(key.description)")) == "2" })
    let state = try #require(try wait { store.lookup(run, $0) }.state)
    #expect(state.meta == meta(1) && state.isOwned && losses == 0)
    let other = try #require(RunID("run-2"))
    #expect(
      try wait { store.claimIdempotency(key, run: other, request: request, $0) }
        == .success(.attach(run, request: request)))
    lease.release()
  }

  @Test func `a key whose run does not begin is free after a lease, and one whose run is held is not`() throws {
    let store = store {
      $0.lease = .seconds(2)
      $0.renewal = .milliseconds(100)
    }
    defer { store.redis.close() }
    let (held, dead, request) = (Digest([[1]]), Digest([[2]]), Digest([[3]]))
    for key in [held, dead] {
      let claim = try wait {
        store.claimIdempotency(key, run: run, request: request, timeToLive: store.settings.lease, $0)
      }
      #expect(claim == .success(.mine))
    }
    _ = try wait { store.claim(run, token: token(1), meta: meta(1), $0) }
    let lease = RunLease(
      store: store, run: run, token: token(1), meta: meta(1), idempotency: (held, request)
    ) {}
    test.run(for: .milliseconds(2500))
    let other = try #require(RunID("run-2"))
    let claims = try [held, dead].map { key in
      try wait { store.claimIdempotency(key, run: other, request: request, $0) }
    }
    #expect(claims == [.success(.attach(run, request: request)), .success(.mine)])
    lease.release()
  }

  @Test func `each script that Redis has forgotten is sent again, and done once`() throws {
    let store = store { $0.timeToLive = .seconds(3) }
    defer { store.redis.close() }
    let (key, request) = (Digest([[1]]), Digest([[2]]))
    let ofKey = "ai:idem:\(key.description)"
    var forgotten = 0
    func forget(_ scripts: Int = 1) throws {
      // Behind this answer all texts are loaded.
      _ = try wait { store.lookup(run, $0) }
      try server.cli("SCRIPT", "FLUSH")
      forgotten += scripts
    }
    try forget()
    #expect(try wait { store.claim(run, token: token(1), meta: meta(1), $0) } == .success(.mine))
    try forget()
    #expect(try wait { store.claimIdempotency(key, run: run, request: request, $0) } == .success(.mine))
    try server.cli("DEL", ofKey)
    try forget()
    var losses = 0
    let lease = RunLease(
      store: store, run: run, token: token(1), meta: meta(1), idempotency: (key, request)
    ) { losses += 1 }
    test.run(until: { (try? server.cli("EXISTS", ofKey)) == "1" })
    // Renewed after a third of the time, the run and its key.
    try forget(2)
    try server.cli("DEL", "ai:run:run-1:owner", ofKey)
    test.run(until: { (try? server.cli("EXISTS", "ai:run:run-1:owner", ofKey)) == "2" })
    try forget(2)
    try server.cli("DEL", ofKey)
    lease.release()
    test.run(until: { (try? server.cli("EXISTS", ofKey)) == "1" })
    test.run(until: { (try? server.cli("EXISTS", "ai:run:run-1:owner")) == "0" })
    #expect(losses == 0)
    let told = "errorstat_NOSCRIPT:count=\(forgotten)"
    #expect(try server.cli("INFO", "errorstats").split(whereSeparator: \.isNewline).contains { $0 == told })
  }

  @Test func `a lookup tells everything of a run, and nothing of one that is unknown`() throws {
    let store = store()
    defer { store.redis.close() }
    #expect(try wait { store.lookup(run, $0) } == .success(RunState()))
    #expect(!RunState().exists)
    _ = try wait { store.claim(run, token: token(1), meta: meta(1), $0) }
    try server.cli("XADD", "ai:run:run-1:events", "1-0", "b", "data: x\n\n")
    try server.cli("XADD", "ai:run:run-1:events", "2-0", "end", "{\"outcome\":\"completed\",\"events\":1}")
    var state = RunState()
    state.meta = meta(1)
    state.isOwned = true
    state.last = EntryID(2, 0)
    state.end = EndRecord(outcome: .completed, reason: "", events: 1, bytes: 0, upstreamIsComplete: false)
    #expect(try wait { store.lookup(run, $0) } == .success(state))
    #expect(try wait { store.requestCancel(run, $0) }.isSuccess)
    state.isCancelled = true
    #expect(try wait { store.lookup(run, $0) } == .success(state))
    #expect(Int(try server.cli("TTL", "ai:run:run-1:cancel")).map { (299...300).contains($0) } == true)
  }

  @Test func `a worker's run gets one stream id, whichever replica asks first`() throws {
    let stores = [store(), store()]
    defer { for store in stores { store.redis.close() } }
    try server.cli("XADD", "ai:run:run-1:events", "*", "data", "x")
    #expect(try wait { stores[0].claim(run, token: token(9), meta: meta(9), $0) } == .success(.others(nil)))
    let first = try wait { stores[0].adopt(run, meta: meta(1, source: .worker), $0) }
    let second = try wait { stores[1].adopt(run, meta: meta(2, source: .worker), $0) }
    #expect(first == .success(meta(1, source: .worker)))
    #expect(second == first)
    #expect(try wait { stores[1].claim(run, token: token(9), meta: meta(9), $0) }.claimed == meta(1, source: .worker))
  }

  @Test func `a lease is renewed while it is held, and all keys live on`() throws {
    let store = store {
      $0.lease = .milliseconds(600)
      $0.renewal = .milliseconds(150)
      $0.timeToLive = .seconds(2)
    }
    defer { store.redis.close() }
    _ = try wait { store.claim(run, token: token(1), meta: meta(1), $0) }
    try server.cli("XADD", "ai:run:run-1:events", "1-0", "b", "data: x\n\n")
    var losses = 0
    let lease = RunLease(store: store, run: run, token: token(1), meta: meta(1)) { losses += 1 }
    test.run(for: .milliseconds(2500))
    #expect(try wait { store.lookup(run, $0) }.state?.isOwned == true)
    #expect((Int(try server.cli("PTTL", "ai:run:run-1:events")) ?? 0) > 1000)
    lease.release()
    test.run(for: .milliseconds(100))
    let state = try wait { store.lookup(run, $0) }.state
    #expect(state?.isOwned == false && state?.last == EntryID(1, 0))
    #expect(losses == 0)
  }

  @Test func `a run whose owner is gone is closed once, and the owner that comes back is told`() throws {
    let store = store {
      $0.lease = .milliseconds(300)
      $0.renewal = .milliseconds(100)
    }
    // The other's loop: the owner's does nothing meanwhile.
    let loop = try TestLoop()
    let other = self.store(on: loop)
    defer {
      store.redis.close()
      other.redis.close()
    }
    _ = try wait { store.claim(run, token: token(1), meta: meta(1), $0) }
    var losses = 0
    let lease = RunLease(store: store, run: run, token: token(1), meta: meta(1)) { losses += 1 }
    try server.cli("XADD", "ai:run:run-1:events", "7-0", "b", "data: x\n\n")
    try server.cli("XADD", "ai:run:run-1:events", "7-1", "b", ": comment\n\n")
    #expect(try wait(on: loop) { other.closeOrphan(run, of: nil, $0) } == .success(.isOwned))
    let owner = try server.cli("GET", "ai:run:run-1:owner")
    loop.run(until: { (try? server.cli("KEYS", "ai:gateway:*"))?.isEmpty == true })
    #expect(try wait(on: loop) { other.closeOrphan(run, of: owner, $0) } == .success(.closed))
    #expect(try wait(on: loop) { other.closeOrphan(run, of: owner, $0) } == .success(.isOwned))
    let state = try wait(on: loop) { other.lookup(run, $0) }.state
    #expect(state?.last == EntryID(8, 0))
    #expect(state?.end?.outcome == .gatewayError)
    test.run(until: { losses > 0 })
    lease.release()
    test.run(for: .milliseconds(50))
    #expect(losses == 1)
  }

  @Test func `an owner that was away for longer than its lease has the run again if nobody has closed it`() throws {
    let store = store {
      $0.lease = .milliseconds(200)
      $0.renewal = .milliseconds(500)
    }
    defer { store.redis.close() }
    _ = try wait { store.claim(run, token: token(1), meta: meta(1), $0) }
    var losses = 0
    let former = try server.cli("GET", "ai:run:run-1:owner")
    let lease = RunLease(store: store, run: run, token: token(1), meta: meta(1)) { losses += 1 }
    var owner = former
    test.run(until: {
      owner = (try? server.cli("GET", "ai:run:run-1:owner")) ?? former
      return owner != former
    })
    #expect(owner.hasPrefix(token(1).description))
    // Who has found the owner gone a moment ago knows it by its former name.
    #expect(try wait { store.closeOrphan(run, of: former, $0) } == .success(.isOwned))
    #expect(losses == 0)
    lease.release()
  }

  @Test func `runs and readers that only stay cost one command each renewal, however many they are`() throws {
    let store = store {
      $0.lease = .seconds(1)
      $0.renewal = .milliseconds(100)
    }
    defer { store.redis.close() }
    let board = StatusBoard(store: store)
    var leases: [RunLease] = []
    for number in 1...500 {
      let run = try #require(RunID("run-\(number)"))
      let token = StreamID(random: (1, UInt64(number)))
      var isMine = false
      store.claim(run, token: token, meta: meta(1)) { isMine = $0 == .success(.mine) }
      test.run(until: { isMine })
      leases.append(RunLease(store: store, run: run, token: token, meta: meta(1)) {})
      board.post(run, RunStatus(readers: 3))
    }
    test.run(for: .milliseconds(300))
    let before = store.redis.counts.commands
    test.run(for: .seconds(2))
    let (spent, renewals) = (Int(store.redis.counts.commands - before), 20)
    // And one look each second whether Redis has lost anything.
    #expect(spent >= renewals / 2 && spent <= renewals + 3, "\(spent)")
    board.close()
    for lease in leases { lease.release() }
  }

  @Test(arguments: ["released", "dropped"])
  func `a run that is given up while Redis is away is nobody's when Redis is back`(how: String) throws {
    let server = try RedisServer(["--appendonly", "yes", "--appendfsync", "always"])
    let store = RunRecords(redis: test.connection(server.port), settings: RedisSettings())
    defer { store.close() }
    var claim: Result<RunClaim, RedisError>?
    store.claim(run, token: token(1), meta: meta(1)) { claim = $0 }
    test.run(until: { claim != nil })
    let lease = RunLease(store: store, run: run, token: token(1), meta: meta(1)) {}
    server.kill()
    test.run(until: { !store.redis.isReady })
    if how == "dropped" { lease.drop() } else { lease.release() }
    test.run(for: .milliseconds(1500))
    try server.start()
    test.run(until: { (try? server.cli("EXISTS", "ai:run:run-1:owner")) == "0" })
    #expect(try server.cli("EXISTS", "ai:run:run-1:events") == (how == "dropped" ? "1" : "0"))
  }

  @Test func `a reader that leaves while Redis is away is not counted when Redis is back`() throws {
    let server = try RedisServer(["--appendonly", "yes", "--appendfsync", "always"])
    let store = RunRecords(redis: test.connection(server.port), settings: RedisSettings())
    let board = StatusBoard(store: store)
    defer {
      board.close()
      store.close()
    }
    board.post(run, RunStatus(readers: 2))
    test.run(until: { (try? server.cli("HLEN", "ai:run:run-1:state")) == "1" })
    server.kill()
    test.run(until: { !store.redis.isReady })
    test.run(for: .milliseconds(1500))
    board.post(run, RunStatus(readers: 0))
    test.run(for: .milliseconds(200))
    try server.start()
    test.run(until: { (try? server.cli("EXISTS", "ai:run:run-1:state")) == "0" })
  }

  @Test func `of eight repeats of a request one starts the run, the others attach to it`() throws {
    let stores = (0..<8).map { _ in store() }
    defer { for store in stores { store.redis.close() } }
    let key = Digest([[1]])
    let request = Digest([[2]])
    var claims: [Int: Result<KeyClaim, RedisError>] = [:]
    let runs = (0..<8).map { RunID("run-\($0)")! }
    for (index, store) in stores.enumerated() {
      store.claimIdempotency(key, run: runs[index], request: request) { claims[index] = $0 }
    }
    test.run(until: { claims.count == 8 })
    let winners = claims.filter { $0.value == .success(.mine) }.map(\.key)
    #expect(winners.count == 1)
    let winner = runs[winners[0]]
    #expect(claims.filter { $0.value == .success(.attach(winner, request: request)) }.count == 7)
    stores[0].releaseIdempotency(key, run: winner, request: Digest([[3]]))
    stores[0].releaseIdempotency(key, run: winner, request: request)
    #expect(try wait { stores[0].claimIdempotency(key, run: run, request: request, $0) } == .success(.mine))
  }

  @Test func `without Redis every question is answered by a failure`() throws {
    let store = store()
    defer { store.redis.close() }
    server.kill()
    #expect(!(try wait { store.lookup(run, $0) }.isSuccess))
    #expect(!(try wait { store.claim(run, token: token(1), meta: meta(1), $0) }.isSuccess))
    #expect(!(try wait { store.requestCancel(run, $0) }.isSuccess))
    #expect(!(try wait { store.claimIdempotency(Digest([[1]]), run: run, request: Digest([[1]]), $0) }.isSuccess))
  }

  @Test func `keys of another kind are a refusal`() throws {
    let store = store()
    defer { store.redis.close() }
    try server.cli("SET", "ai:run:run-1:meta", "x")
    guard case .failure(.refused(let text)) = try wait({ store.lookup(run, $0) }) else {
      Issue.record("was no refusal")
      return
    }
    #expect(text.hasPrefix("WRONGTYPE"))
  }
}

extension Result {
  var isSuccess: Bool { if case .success = self { true } else { false } }
}

extension Result where Success == RunState {
  var state: RunState? { try? get() }
}

extension Result where Success == RunClaim {
  /// The meta of the run that another has.
  var claimed: RunMeta? {
    if case .success(.others(let meta)) = self { meta } else { nil }
  }
}
