import Bytes
import Harness
import JSON
import Loop
import RedisLog
import Runs
import SSE
import Streams
import Testing
import Time

/// What holds while Redis may have lost what it was told.
@Suite(.enabled(if: RedisServer.isAvailable), .serialized) struct StoreLifeTests {
  let test: TestLoop
  let run = RunID("run-1")!
  let other = RunID("run-2")!
  let key = Digest([[1]])
  let request = Digest([[2]])

  init() throws { test = try TestLoop() }

  private func store(_ server: RedisServer, _ change: (inout RedisSettings) -> Void = { _ in }) -> RunRecords {
    var settings = RedisSettings()
    settings.lease = .milliseconds(1200)
    settings.renewal = .milliseconds(360)
    change(&settings)
    return RunRecords(redis: test.connection(server.port), settings: settings)
  }

  private func meta(_ number: UInt8 = 1) -> RunMeta {
    RunMeta(principal: Digest([[number]]), stream: token(UInt64(number)), created: WallTime(milliseconds: 1))
  }

  private func token(_ number: UInt64) -> StreamID { StreamID(random: (number, 77)) }

  private func wait<Value>(_ begin: (@escaping (Value) -> Void) -> Void) throws -> Value {
    var value: Value?
    begin { value = $0 }
    test.run(until: { value != nil })
    return try #require(value)
  }

  private func claim(
    _ run: RunID, _ store: RunRecords
  ) throws -> Result<KeyClaim, RedisError> {
    try wait { store.claimIdempotency(key, run: run, request: request, $0) }
  }

  private func isWait(_ result: Result<KeyClaim, RedisError>) -> Bool {
    if case .success(.wait(let time)) = result { time > .zero && time <= .milliseconds(1200) } else { false }
  }

  @Test(arguments: ["no marker", "another server's", "no marker at all", "from the future"])
  func `a key is given away only when the data has lived for a lease`(marker: String) throws {
    let server = try RedisServer(isNew: true)
    switch marker {
    case "another server's": try server.cli("SET", "ai:epoch", "0123456789abcdef 0")
    case "no marker at all": try server.cli("SET", "ai:epoch", "nonsense")
    case "from the future": try server.cli("SET", "ai:epoch", " 99999999999999")
    default: break
    }
    let stores = [store(server), store(server)]
    defer { for store in stores { store.redis.close() } }
    let begin = test.loop.readClock()
    for store in stores { #expect(isWait(try claim(run, store))) }
    var result = try claim(run, stores[0])
    while isWait(result) {
      test.run(for: .milliseconds(20))
      result = try claim(run, stores[0])
    }
    let waited = test.loop.readClock() - begin
    #expect(result == .success(.mine) && waited >= .milliseconds(1190))
    #expect(try claim(other, stores[1]) == .success(.attach(run, request: request)))
    #expect(try server.cli("GET", "ai:epoch").split(separator: " ").count == 2)
  }

  @Test func `a key that is there is told at once, however young the data is`() throws {
    let server = try RedisServer(isNew: true)
    try server.cli("SET", "ai:idem:\(key.description)", "run-1 \(request.description)")
    let store = store(server)
    defer { store.redis.close() }
    #expect(try claim(other, store) == .success(.attach(run, request: request)))
    #expect(try claim(run, store) == .success(.mine))
  }

  @Test func `the nodes of a cluster have no common life, and are not waited for`() throws {
    let server = try RedisServer(isNew: true)
    let store = store(server) { $0.usesHashTags = true }
    defer { store.redis.close() }
    #expect(try claim(run, store) == .success(.mine))
    #expect(try wait { store.remainingWait($0) } == .success(.zero))
    #expect(try server.cli("EXISTS", "ai:epoch") == "0")
  }

  @Test func `an account that may not ask what server it is waits where there is no marker`() throws {
    let server = try RedisServer(isNew: true)
    try server.cli("ACL", "SETUSER", "gate", "on", ">p", "~*", "&*", "+@all", "-info")
    var greeting = RedisConnection.Greeting()
    greeting.user = "gate"
    greeting.password = "p"
    var settings = RedisSettings()
    settings.lease = .milliseconds(500)
    let store = RunRecords(redis: test.connection(server.port, greeting: greeting), settings: settings)
    defer { store.redis.close() }
    #expect(store.connection?.server == RedisServerInfo())
    var result = try claim(run, store)
    #expect(result != .success(.mine))
    test.run(for: .milliseconds(600))
    result = try claim(run, store)
    #expect(result == .success(.mine))
  }

  /// Claims a run under a key and holds it.
  private func hold(_ store: RunRecords) throws -> RunLease {
    #expect(try wait { store.claim(run, token: token(1), meta: meta(), $0) } == .success(.mine))
    #expect(try claim(run, store) == .success(.mine))
    let lease = RunLease(
      store: store, run: run, token: token(1), meta: meta(), idempotency: (key, request),
      clientStream: (Digest([[9]]), request)
    ) {}
    // A lease gives its key more time at once: what befalls Redis comes after that.
    test.run(for: .milliseconds(50))
    return lease
  }

  @Test func `what its gateway holds is in an emptied Redis again within a second`() throws {
    let server = try RedisServer()
    let (owner, replica) = (store(server) { $0.renewal = .seconds(60) }, store(server))
    defer { for store in [owner, replica] { store.redis.close() } }
    let lease = try hold(owner)
    try server.cli("FLUSHALL")
    let begin = test.loop.readClock()
    var result = try claim(other, replica)
    #expect(isWait(result))
    while isWait(result) {
      test.run(for: .milliseconds(20))
      result = try claim(other, replica)
    }
    #expect(result == .success(.attach(run, request: request)))
    #expect(test.loop.readClock() - begin < .milliseconds(1190) + MachineDelay.since(begin))
    let names = try server.cli("KEYS", "*").split(separator: "\n").map(String.init).sorted()
    let kept =
      ["ai:client:\(Digest([[9]]).description)", "ai:epoch", "ai:idem:\(key.description)"] + [
        "ai:run:run-1:meta", "ai:run:run-1:owner",
      ]
    #expect(names.filter { !$0.hasPrefix("ai:gateway:") } == kept)
    lease.release()
  }

  @Test func `an emptied Redis gets what its gateway holds before anything that waits for the connection`() throws {
    let server = try RedisServer(["--save", ""])
    let owner = store(server) { $0.renewal = .seconds(60) }
    defer { owner.redis.close() }
    let lease = try hold(owner)
    for _ in 0..<5 {
      server.kill()
      test.run(until: { !owner.redis.isReady })
      var result: Result<KeyClaim, RedisError>?
      owner.claimIdempotency(key, run: other, request: request) { result = $0 }
      try server.start()
      test.run(until: { result != nil })
      // Where the machine was so slow that the command was not waited for, it is asked again.
      if case .failure = try #require(result) {
        test.run(until: { owner.redis.isReady })
        result = try claim(other, owner)
      }
      #expect(result == .success(.attach(run, request: request)))
    }
    lease.release()
  }

  @Test func `a run without a sign of its owner is not closed while the data is young`() throws {
    let server = try RedisServer()
    let store = store(server)
    defer { store.redis.close() }
    try server.cli("XADD", "ai:run:run-1:events", "1-0", "b", "data: x\n\n")
    #expect(try wait { store.closeOrphan(run, of: nil, $0) } == .success(.closed))
    try server.cli("FLUSHALL")
    try server.cli("XADD", "ai:run:run-1:events", "1-0", "b", "data: x\n\n")
    #expect(try wait { store.closeOrphan(run, of: nil, $0) } == .success(.isOwned))
    test.run(for: .milliseconds(1300))
    #expect(try wait { store.closeOrphan(run, of: nil, $0) } == .success(.closed))
  }

  // MARK: - Events

  private func block(_ number: Int) -> String { "data: event \(number)\n\n" }

  private func append(_ numbers: ClosedRange<Int>, to log: RedisLog) {
    for number in numbers { _ = log.append(Array(block(number).utf8).span, EntryMetadata(number: UInt64(number))) }
  }

  /// What somebody reads who comes now.
  private func read(_ server: RedisServer, until count: Int) throws -> [String] {
    var settings = RedisSettings()
    settings.port = server.port
    let client = RedisClient(loop: test.loop, dialer: test.dialer, settings: settings)
    defer { client.close() }
    let reader = FeedRecorder()
    let feed = client.follower.follow(run, source: .gateway, handler: reader)
    test.run(until: { reader.blocks.count >= count || !reader.log.isEmpty }, limit: .seconds(5))
    feed.cancel()
    return reader.blocks
  }

  @Test(arguments: [true, false])
  func `a run goes into an emptied Redis from its beginning, whether or not more comes`(moreComes: Bool) throws {
    let server = try RedisServer()
    let store = store(server)
    defer { store.redis.close() }
    let lease = try hold(store)
    let log = RedisLog(run: run, store: store, memory: MemoryLog(of: StreamID(random: (1, 2))))
    for number in 1...6 {
      append(number...number, to: log)
      test.run(for: .milliseconds(5))
    }
    test.run(for: .milliseconds(1100))
    try server.cli("FLUSHALL")
    if moreComes { append(7...9, to: log) }
    let key = "ai:run:run-1:events"
    test.run(until: { (try? server.cli("XRANGE", key, "-", "+", "COUNT", "1").contains("event 1")) == true })
    #expect(try read(server, until: moreComes ? 9 : 6) == (1...(moreComes ? 9 : 6)).map(block))
    append((moreComes ? 10 : 7)...12, to: log)
    #expect(try read(server, until: 12) == (1...12).map(block))
    log.close()
    lease.release()
  }

  @Test(arguments: [true, false])
  func `a run whose end Redis has lost gets it again, and its readers see no step back`(isEmptied: Bool) throws {
    let server = try RedisServer()
    let store = store(server)
    defer { store.redis.close() }
    let log = RedisLog(run: run, store: store, memory: MemoryLog(of: StreamID(random: (1, 2))))
    append(1...3, to: log)
    let key = "ai:run:run-1:events"
    test.run(until: { (try? server.cli("XLEN", key)) == "1" })
    try server.cli("COPY", key, "copy")
    let end = EndRecord(outcome: .completed, reason: "done", events: 3, bytes: 30, upstreamIsComplete: true)
    log.finish(end)
    test.run(until: { log.isSettled })
    test.run(for: .milliseconds(1100))
    // As a replica has it that takes over before it has got the end, or anything.
    if isEmptied { try server.cli("FLUSHALL") } else { try server.cli("RENAME", "copy", key) }
    try server.cli("DEL", "ai:epoch")
    var stepsBack = 0
    test.run(until: {
      if log.end != end { stepsBack += 1 }
      return (try? server.cli("XREVRANGE", key, "+", "-", "COUNT", "1").contains("done")) == true
    })
    test.run(until: { log.isSettled })
    #expect(stepsBack == 0 && log.end == end)
    #expect(try read(server, until: 3) == (1...3).map(block))
    #expect(try server.cli("XREVRANGE", key, "+", "-", "COUNT", "1").contains("done"))
    log.close()
  }

  @Test func `a stream that was not emptied is left as it is when Redis begins another life`() throws {
    let server = try RedisServer()
    let store = store(server)
    defer { store.redis.close() }
    let log = RedisLog(run: run, store: store, memory: MemoryLog(of: StreamID(random: (1, 2))))
    for number in 1...3 {
      append(number...number, to: log)
      test.run(for: .milliseconds(5))
    }
    test.run(for: .milliseconds(1100))
    try server.cli("DEL", "ai:epoch")
    test.run(until: { store.life.changes == 1 })
    append(4...4, to: log)
    test.run(for: .milliseconds(100))
    #expect(try server.cli("XLEN", "ai:run:run-1:events") == "4")
    #expect(try server.cli("XINFO", "STREAM", "ai:run:run-1:events").contains("entries-added\n4"))
    log.close()
  }

  // MARK: - A Redis that can't be written to

  @Test func `a server that has become a replica is let go, and is ready again as a master`() throws {
    let (server, master) = (try RedisServer(), try RedisServer())
    let store = store(server)
    defer { store.redis.close() }
    #expect(try claim(run, store) == .success(.mine))
    let first = store.connection?.clientID
    try server.cli("REPLICAOF", "127.0.0.1", String(master.port))
    let refused = try wait { store.requestCancel(run, $0) }
    guard case .failure = refused else {
      Issue.record("a replica took a write")
      return
    }
    test.run(for: .milliseconds(700))
    #expect(!store.redis.isReady && store.redis.lastFault?.contains("replica") == true)
    #expect(store.redis.counts.errors[.readOnly] ?? 0 >= 1)
    try server.cli("REPLICAOF", "NO", "ONE")
    test.run(until: { store.redis.isReady })
    #expect(store.connection?.clientID != first)
    #expect(try wait { store.requestCancel(run, $0) }.isSuccess)
  }

  @Test(arguments: ["full", "read by an account that may not write"])
  func `readers of a run whose owner is gone are told, though nobody can write its end`(how: String) throws {
    let server = try RedisServer(["--maxmemory-policy", "noeviction"])
    let owner = store(server)
    let lease = try hold(owner)
    let log = RedisLog(run: run, store: owner, memory: MemoryLog(of: StreamID(random: (1, 2))))
    append(1...3, to: log)
    var settings = RedisSettings()
    settings.port = server.port
    settings.lease = .milliseconds(1200)
    settings.renewal = .milliseconds(360)
    if how != "full" {
      try server.cli("ACL", "SETUSER", "reader", "on", ">p", "~*", "&*", "+@all", "-xadd", "-set")
      settings.user = "reader"
      settings.password = "p"
    }
    let client = RedisClient(loop: test.loop, dialer: test.dialer, settings: settings)
    defer { client.close() }
    let reader = FeedRecorder()
    _ = client.follower.follow(run, source: .gateway, handler: reader)
    test.run(until: { reader.blocks.count == 3 })
    if how == "full" { try server.cli("CONFIG", "SET", "maxmemory", "1") }
    log.close()
    owner.redis.close()
    let begin = test.loop.readClock()
    test.run(until: { reader.end != nil })
    // 1.3 leases, a second to look each time.
    #expect(test.loop.readClock() - begin < .milliseconds(1560 + 2000) + MachineDelay.since(begin))
    #expect(reader.end?.outcome == .gatewayError && reader.end?.events == 3)
    #expect(try server.cli("XLEN", "ai:run:run-1:events") != "4")
    lease.release()
  }
}
