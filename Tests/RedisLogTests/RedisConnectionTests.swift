import Bytes
import EventSamples
import Glibc
import Harness
import Loop
import RedisLog
import Sockets
import Testing
import Time

@Suite(.enabled(if: RedisServer.isAvailable), .serialized) struct RedisConnectionTests {
  let test: TestLoop

  init() throws { test = try TestLoop() }

  @Test func `every kind of answer comes as it was sent`() throws {
    let server = try RedisServer()
    let redis = test.connection(server.port)
    defer { redis.close() }
    var answers: [KeptReply] = []
    redis.send("SET", "k", "v\r\nw") { answers.append($0) }
    redis.send("GET", "k") { answers.append($0) }
    redis.send("GET", "other") { answers.append($0) }
    redis.send("INCR", "n") { answers.append($0) }
    redis.send("INCR", "k") { answers.append($0) }
    redis.send("EVAL", "return {1,{'a',{}},false,'z'}", "0") { answers.append($0) }
    redis.send("LRANGE", "none", "0", "-1") { answers.append($0) }
    test.run(until: { answers.count == 7 })
    #expect(
      answers == [
        .text("OK"), .text("v\r\nw"), .null, .integer(1), .error("ERR value is not an integer or out of range"),
        .array([.integer(1), .array([.text("a"), .array([])]), .null, .text("z")]), .array([]),
      ])
  }

  @Test func `ten thousand commands of one turn are answered in order`() throws {
    let server = try RedisServer()
    let redis = test.connection(server.port)
    defer { redis.close() }
    var values: [Int64] = []
    for _ in 0..<10_000 {
      redis.send("INCR", "n") { if case .integer(let value) = $0 { values.append(value) } }
    }
    test.run(until: { values.count == 10_000 })
    #expect(values == Array(1...10_000))
  }

  @Test func `commands that may wait leave together when those on their way are answered`() throws {
    let server = try RedisServer()
    let redis = test.connection(server.port)
    defer { redis.close() }
    let receiver = AnswerCounter()
    func push(mayWait: Bool) {
      redis.send(to: receiver, mayWait: mayWait) { command in
        command.append("RPUSH")
        command.append("list")
        command.append(receiver.answers)
      }
    }
    push(mayWait: true)
    test.run(until: { receiver.answers == 1 })
    try server.cli("CLIENT", "PAUSE", "400")
    // The first leaves at once, since nothing is on its way, and is held up; the others wait for it.
    for _ in 0..<10 {
      push(mayWait: true)
      test.run(for: .milliseconds(5))
    }
    #expect(receiver.answers == 1 && redis.pendingCommands == 10)
    test.run(until: { receiver.answers == 11 })
    // One that may not wait takes along those before it.
    for mayWait in [true, true, false] { push(mayWait: mayWait) }
    test.run(until: { receiver.answers == 14 })
    #expect(receiver.failures == 0)
    #expect(try server.cli("LLEN", "list") == "14")
  }

  @Test func `an answer larger than any buffer comes whole`() throws {
    let server = try RedisServer()
    let redis = test.connection(server.port)
    defer { redis.close() }
    var length = 0
    redis.send { command in
      command.append("SET")
      command.append("large")
      command.append([UInt8](repeating: 7, count: 20_000_000))
    } completion: { _ in
    }
    redis.send { command in
      command.append("GET")
      command.append("large")
    } completion: { result in
      if case .success(let reply) = result { length = reply.withBytes { $0.count } }
    }
    test.run(until: { length > 0 })
    #expect(length == 20_000_000)
  }

  @Test func `the greeting gives the password, picks the database and tells the name`() throws {
    let server = try RedisServer(["--requirepass", "s3cret"])
    var greeting = RedisConnection.Greeting()
    greeting.password = "s3cret"
    greeting.database = 5
    greeting.name = "fermata-test"
    let redis = test.connection(server.port, greeting: greeting)
    defer { redis.close() }
    var answer = KeptReply.null
    redis.send("CLIENT", "INFO") { answer = $0 }
    test.run(until: { answer != .null })
    guard case .text(let text) = answer else { return #expect(answer == .text("a line")) }
    #expect(text.contains(" db=5 ") && text.contains(" name=fermata-test "))
    #expect(text.hasPrefix("id=\(redis.clientID ?? -1) "))
  }

  @Test(arguments: [nil, "wrong"]) func `a wrong password is told, and nothing hangs`(password: String?) throws {
    let server = try RedisServer(["--requirepass", "s3cret"])
    var greeting = RedisConnection.Greeting()
    greeting.password = password
    let redis = test.connection(server.port, greeting: greeting)
    defer { redis.close() }
    var answer = KeptReply.null
    redis.send("PING") { answer = $0 }
    test.run(until: { answer != .null })
    guard case .failure(.notConnected(let reason)) = answer else { return #expect(answer == .failure(.timedOut)) }
    #expect(reason.hasPrefix(password == nil ? "NOAUTH" : "WRONGPASS"))
    #expect(!reason.contains("wrong "))
  }

  @Test func `where nobody listens commands fail, first after some patience and then at once`() throws {
    let server = try RedisServer()
    server.kill()
    let redis = test.connection(server.port)
    defer { redis.close() }
    let begin = test.loop.readClock()
    var answer = KeptReply.null
    redis.send("PING") { answer = $0 }
    test.run(until: { answer != .null })
    #expect(test.loop.readClock() - begin >= .milliseconds(900))
    let again = test.loop.readClock()
    answer = .null
    redis.send("PING") { answer = $0 }
    test.run(until: { answer != .null })
    #expect(test.loop.readClock() - again < .milliseconds(50) + MachineDelay.since(again))
    guard case .failure(.notConnected(let reason)) = answer else { return #expect(answer == .failure(.timedOut)) }
    #expect(reason.contains("refused"))
  }

  @Test func `a connection that is cut fails what waits, and comes back by itself`() throws {
    let server = try RedisServer()
    let redis = test.connection(server.port)
    defer { redis.close() }
    let observer = Observer()
    redis.add(observer)
    var blocked = KeptReply.null
    redis.send("BLPOP", "none", "0", timeout: .seconds(30)) { blocked = $0 }
    test.run(until: { redis.isReady })
    test.run(for: .milliseconds(50))
    try server.cli("CLIENT", "KILL", "ID", String(try #require(redis.clientID)))
    test.run(until: { blocked != .null })
    guard case .failure(.connectionLost) = blocked else { return #expect(blocked == .failure(.timedOut)) }
    #expect(observer.log == ["ready", "lost"])
    var answer = KeptReply.null
    redis.send("ECHO", "back") { answer = $0 }
    test.run(until: { answer != .null })
    #expect(answer == .text("back"))
    #expect(observer.log == ["ready", "lost", "ready"])
  }

  @Test func `a server that is paused does not hold a command beyond its deadline`() throws {
    let server = try RedisServer()
    var limits = RedisConnection.Limits()
    limits.command = .milliseconds(600)
    let redis = test.connection(server.port, limits: limits)
    defer { redis.close() }
    redis.start()
    test.run(until: { redis.isReady })
    // Much longer than the test: a command that waited for it would be answered well. What does not write goes on.
    try server.cli("CLIENT", "PAUSE", "60000", "WRITE")
    var answer = KeptReply.null
    redis.send("SET", "k", "v") { answer = $0 }
    test.run(until: { answer != .null })
    #expect(answer == .failure(.timedOut))
    test.run(until: { redis.isReady })
    answer = .null
    redis.send("PING") { answer = $0 }
    test.run(until: { answer != .null })
    #expect(answer == .text("PONG"))
  }

  @Test func `a server that is killed and started again is found again`() throws {
    let server = try RedisServer(["--appendonly", "yes", "--appendfsync", "always"])
    let redis = test.connection(server.port)
    defer { redis.close() }
    var answer = KeptReply.null
    redis.send("SET", "k", "kept") { answer = $0 }
    test.run(until: { answer == .text("OK") })
    server.kill()
    test.run(until: { !redis.isReady })
    try server.start()
    test.run(until: { redis.isReady })
    redis.send("GET", "k") { answer = $0 }
    test.run(until: { answer != .text("OK") })
    #expect(answer == .text("kept"))
  }

  @Test func `closing fails what waits`() throws {
    let server = try RedisServer()
    let redis = test.connection(server.port)
    var answers: [KeptReply] = []
    redis.send("PING") { answers.append($0) }
    redis.close()
    redis.send("PING") { answers.append($0) }
    test.run(until: { answers.count == 2 })
    #expect(answers == [.failure(.notConnected("closed")), .failure(.notConnected("closed"))])
  }
}

/// A server that answers whatever a test wants.
@Suite(.serialized) struct BrokenRedisTests {
  let test: TestLoop

  init() throws { test = try TestLoop() }

  /// Answers the greeting's four commands well, and the next one with `answer`.
  private func answerOf(_ answer: [UInt8], closes: Bool = false, trickles: Bool = false) throws -> KeptReply {
    var ears: [BrokenServer] = []
    let listener = try Listener(loop: test.loop, address: .loopback(port: 0)) {
      ears.append(BrokenServer($0, answer: answer, closes: closes, trickles: trickles))
    }
    defer { listener.close() }
    var limits = RedisConnection.Limits()
    limits.command = .milliseconds(500)
    let redis = test.connection(listener.localAddress.port, limits: limits)
    redis.start()
    test.run(until: { redis.isReady })
    var result = KeptReply.null
    var hasCome = false
    redis.send("GET", "k") {
      result = $0
      hasCome = true
    }
    test.run(until: { hasCome })
    redis.close()
    for ear in ears { ear.connection.close() }
    return result
  }

  @Test(
    arguments: [
      "!what\r\n", "$-7\r\n", ":12x\r\n", "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
      "*2147483647\r\n", "*9999999999999\r\n", "$99999999999999999999999\r\n", "\r\n\r\n",
      "HTTP/1.1 400 Bad Request\r\n\r\n",
      "\u{0}\u{0}\u{0}\r\n", "*-2\r\n", "+OK\r\n+OK\r\n",
    ]) func `what is no answer loses the connection and nothing else`(text: String) throws
  {
    let answer = try answerOf(Array(text.utf8))
    if text == "+OK\r\n+OK\r\n" { return #expect(answer == .text("OK")) }
    guard case .failure(let error) = answer, case .protocolViolation = error else {
      return #expect(answer == .failure(.protocolViolation("")))
    }
  }

  @Test func `random bytes never crash`() throws {
    var generator = SeededGenerator(seed: 1)
    let reply = Array("*3\r\n$3\r\nabc\r\n:5\r\n*1\r\n$-1\r\n".utf8)
    for _ in 0..<60 {
      var bytes = reply
      for _ in 0...2 {
        bytes[Int(generator.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: generator.next())
      }
      _ = try answerOf(bytes, closes: true)
    }
  }

  @Test func `an answer that trickles in byte by byte is one answer`() throws {
    #expect(
      try answerOf(Array("*2\r\n$5\r\nab\r\nc\r\n*1\r\n:-7\r\n".utf8), trickles: true)
        == .array([.text("ab\r\nc"), .array([.integer(-7)])]))
  }

  @Test func `half an answer is waited for until the deadline`() throws {
    #expect(try answerOf(Array("$10\r\nabc".utf8)) == .failure(.timedOut))
  }

  @Test func `an end inside an answer is a loss`() throws {
    #expect(try answerOf(Array("$10\r\nabc".utf8), closes: true) == .failure(.connectionLost("closed by Redis")))
  }
}

private final class BrokenServer: ConnectionHandler {
  let connection: TCPConnection
  private let answer: [UInt8]
  private let closes: Bool
  private let trickles: Bool
  private var pieces = 0
  private var timer: Loop.Timer?

  init(_ connection: TCPConnection, answer: [UInt8], closes: Bool, trickles: Bool) {
    self.connection = connection
    self.answer = answer
    self.closes = closes
    self.trickles = trickles
    connection.handler = self
    connection.startReading()
  }

  func connectionReceived(_ input: InputBuffer) {
    pieces += 1
    let bytes = pieces == 1 ? Array("$0\r\n\r\n$0\r\n\r\n:1\r\n+PONG\r\n".utf8) : answer
    if pieces == 2, trickles { return trickle(answer[...]) }
    connection.write(bytes.span)
    if pieces == 1 { return }
    if closes { connection.finishWriting() }
  }

  private func trickle(_ rest: ArraySlice<UInt8>) {
    guard let byte = rest.first else { return }
    let piece = [byte]
    connection.write(piece.span)
    timer = Loop.Timer(loop: connection.loop) { [unowned self] in trickle(rest.dropFirst()) }
    timer?.schedule(after: .milliseconds(1))
  }

  func connectionDrained() {}
  func connectionEnded(_ end: ConnectionEnd) { connection.close() }
}

private final class Observer: RedisConnectionObserver {
  var log: [String] = []
  func redisBecameReady() { log.append("ready") }
  func redisWasLost() { log.append("lost") }
}

private final class AnswerCounter: RedisReceiver {
  private(set) var answers = 0
  private(set) var failures = 0

  func redisAnswered(_ result: Result<RedisReply, RedisError>, tag: UInt64) {
    answers += 1
    if case .failure = result { failures += 1 }
  }
}
