import Glibc
import Harness
import Loop
import Processes
import RedisLog
import Sockets
import Testing
import Time

/// A redis-server of a test's own, on a port that was free, with its files in a directory of its own.
final class RedisServer {
  let port: UInt16
  let directory: TemporaryDirectory
  private let options: [String]
  private var process: ChildProcess?

  /// Whether the machine has one. Where everything must be there (`CI=true`) a missing one is a failure.
  static let isAvailable: Bool = {
    let found = (try? ChildProcess(["redis-server", "--version"]))?.wait(timeout: .seconds(10)) == .code(0)
    if !found {
      print("redis-server is missing: the tests that need it are NOT run")
      if getenv("CI") != nil { Issue.record("redis-server is missing") }
    }
    return found
  }()

  private let usesTLS: Bool

  /// - Parameter isNew: nobody has seen it before; otherwise its data is as old as can be.
  init(usesTLS: Bool = false, isNew: Bool = false, _ options: [String] = []) throws {
    MachineDelay.watch()
    self.usesTLS = usesTLS
    directory = try TemporaryDirectory(prefix: "redis-test")
    port = try Self.freePort()
    self.options = options
    try start()
    if !isNew, !usesTLS { try grow(old: "ai:") }
  }

  /// Makes the life of its data an old one, so that no key has to be waited for.
  func grow(old prefix: String) throws {
    let script = "return redis.call('SET', KEYS[1], string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') .. ' 0')"
    try cli("EVAL", script, "1", "\(prefix)epoch")
  }

  deinit {
    process?.signal(SIGKILL)
    _ = process?.wait(timeout: .seconds(5))
    directory.remove()
  }

  var pid: Int32? { process?.pid }

  func start() throws {
    let arguments =
      [
        "redis-server", usesTLS ? "--tls-port" : "--port", String(port), "--bind", "127.0.0.1", "--dir", directory.path,
        "--save", "",
        "--daemonize", "no",
      ] + (usesTLS ? ["--port", "0"] : []) + options
    let process = try ChildProcess(arguments)
    self.process = process
    while let line = process.readLine(timeout: .seconds(60)) {
      if line.contains("Ready to accept connections") { return }
    }
    throw RedisError.notConnected("redis-server did not start")
  }

  /// `kill -9`.
  func kill() {
    process?.signal(SIGKILL)
    _ = process?.wait(timeout: .seconds(5))
    process = nil
  }

  func signal(_ signal: Int32) { process?.signal(signal) }

  /// Runs redis-cli, for what a test wants beside the code that is tested.
  @discardableResult
  func cli(_ arguments: String...) throws -> String {
    try cli(arguments)
  }

  @discardableResult
  func cli(_ arguments: [String]) throws -> String {
    let cli = try ChildProcess(["redis-cli", "-p", String(port)] + arguments)
    cli.closeInput()
    var lines: [String] = []
    while let line = cli.readLine(timeout: .seconds(60)) { lines.append(line) }
    _ = cli.wait(timeout: .seconds(5))
    return lines.joined(separator: "\n")
  }

  static func freePort() throws -> UInt16 {
    let loop = try EventLoop()
    let listener = try Listener(loop: loop, address: .loopback(port: 0)) { $0.close() }
    defer { listener.close() }
    return listener.localAddress.port
  }
}

/// A loop for one test, which fails instead of running for ever.
final class TestLoop {
  let loop: EventLoop
  let dialer: Dialer
  private var timer: Loop.Timer?

  init() throws {
    loop = try EventLoop()
    dialer = Dialer(loop: loop)
  }

  /// Runs until `condition`, asked every 2 ms.
  func run(
    until condition: @escaping () -> Bool, limit: Nanoseconds = .seconds(20),
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let end = SystemClock.now + limit
    var isMet = condition()
    if isMet { return }
    let timer = Loop.Timer(loop: loop) { [unowned self] in
      isMet = condition()
      if isMet || SystemClock.now > end { loop.stop() } else { self.timer?.schedule(after: .milliseconds(2)) }
    }
    self.timer = timer
    timer.schedule(after: .milliseconds(1))
    loop.run()
    timer.cancel()
    // What the condition names must not outlive the test: a server would run on.
    self.timer = nil
    #expect(isMet, "the loop did not come to its end in time", sourceLocation: sourceLocation)
  }

  func run(for time: Nanoseconds) {
    let end = SystemClock.now + time
    run(until: { SystemClock.now >= end })
  }

  func connection(
    _ port: UInt16, greeting: RedisConnection.Greeting = RedisConnection.Greeting(),
    limits: RedisConnection.Limits = RedisConnection.Limits()
  ) -> RedisConnection {
    let transport = PlainRedisTransport(dialer: dialer, host: "127.0.0.1", port: port)
    return RedisConnection(loop: loop, transport: transport, greeting: greeting, limits: limits)
  }
}

/// A reply that may be kept.
indirect enum KeptReply: Equatable {
  case text(String)
  case error(String)
  case integer(Int64)
  case null
  case array([KeptReply])
  case failure(RedisError)

  init(_ result: Result<RedisReply, RedisError>) {
    switch result {
    case .success(let reply): self.init(reply)
    case .failure(let error): self = .failure(error)
    }
  }

  init(_ reply: RedisReply) {
    switch reply.kind {
    case .status, .bulk: self = .text(reply.text)
    case .error: self = .error(reply.text)
    case .integer: self = .integer(reply.integer ?? 0)
    case .null: self = .null
    case .array: self = .array(reply.elements.map { KeptReply($0) })
    }
  }
}

extension RedisLink {
  /// Sends words and keeps the answer.
  func send(_ words: String..., timeout: Nanoseconds? = nil, into: @escaping (KeptReply) -> Void) {
    send(to: KeptAnswer(into), tag: 0, timeout: timeout, mayWait: false) { command in
      for word in words { command.append(word) }
    }
  }
}

private final class KeptAnswer: RedisReceiver {
  private let body: (KeptReply) -> Void

  init(_ body: @escaping (KeptReply) -> Void) { self.body = body }

  func redisAnswered(_ result: Result<RedisReply, RedisError>, tag: UInt64) { body(KeptReply(result)) }
}

extension RunRecords {
  /// To the one server that it is about.
  var connection: RedisConnection? { redis as? RedisConnection }
}
