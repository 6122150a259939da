import Glibc
import Loop
import Processes
import RedisLog
import Sockets
import Testing
import Time

/// Sentinels of a test's own that watch one primary.
private final class Sentinels {
  let ports: [UInt16]
  private var processes: [ChildProcess] = []
  private let directory: TemporaryDirectory
  private let options: [String]

  /// - Parameter options: lines of their configuration files.
  init(_ count: Int, watching primary: RedisServer, _ options: [String] = []) throws {
    directory = try TemporaryDirectory(prefix: "sentinel-test")
    self.options = options
    ports = try (0..<count).map { _ in try RedisServer.freePort() }
    for index in 0..<count {
      let lines =
        [
          "port \(ports[index])", "bind 127.0.0.1", "dir \(directory.path)",
          "sentinel monitor main 127.0.0.1 \(primary.port) \(count / 2 + 1)",
          "sentinel down-after-milliseconds main 500", "sentinel failover-timeout main 5000",
        ] + options
      let file = try directory.write("sentinel-\(index).conf", lines.joined(separator: "\n"))
      let process = try ChildProcess(["redis-server", file, "--sentinel"])
      processes.append(process)
      while let line = process.readLine(timeout: .seconds(60)) { if line.contains("+monitor") { break } }
    }
  }

  deinit {
    for process in processes {
      process.signal(SIGKILL)
      _ = process.wait(timeout: .seconds(5))
    }
    directory.remove()
  }

  func signal(_ index: Int, _ signal: Int32) { processes[index].signal(signal) }

  @discardableResult
  func cli(_ index: Int, _ arguments: String...) throws -> String {
    let cli = try ChildProcess(["redis-cli", "-p", String(ports[index])] + arguments)
    cli.closeInput()
    var lines: [String] = []
    while let line = cli.readLine(timeout: .seconds(60)) { lines.append(line) }
    _ = cli.wait(timeout: .seconds(5))
    return lines.joined(separator: "\n")
  }

  /// Settings that name them, and before them other ports.
  func settings(before others: [UInt16] = [], primary: String = "main") throws -> RedisSettings {
    let places = (others + ports).map { "127.0.0.1:\($0)" }.joined(separator: ",")
    var settings = try RedisSettings(url: "redis+sentinel://\(primary)@\(places)/0")
    settings.connectTimeout = .seconds(5)
    return settings
  }
}

@Suite(.enabled(if: RedisServer.isAvailable), .serialized) struct SentinelTests {
  /// A primary and a replica that has all that it has.
  private func pair() throws -> (primary: RedisServer, replica: RedisServer) {
    let (primary, replica) = (try RedisServer(), try RedisServer())
    try replica.cli("replicaof", "127.0.0.1", "\(primary.port)")
    for _ in 0..<200 where try !replica.cli("info", "replication").contains("master_link_status:up") {
      try TestLoop().run(for: .milliseconds(50))
    }
    return (primary, replica)
  }

  private func port(_ client: RedisClient, _ test: TestLoop) -> UInt16? {
    var port: UInt16?
    client.store.redis.send("CONFIG", "GET", "port") { reply in
      if case .array(let words) = reply, case .text(let text)? = words.last { port = UInt16(text) } else { port = 0 }
    }
    test.run(until: { port != nil })
    return port
  }

  @Test func `the primary is found though the first Sentinels are gone, silent or know nothing of it`() throws {
    let primary = try RedisServer()
    let others = try RedisServer()
    let (stranger, silent) = (try Sentinels(1, watching: others), try Sentinels(1, watching: primary))
    try stranger.cli(0, "sentinel", "remove", "main")
    silent.signal(0, SIGSTOP)
    let good = try Sentinels(1, watching: primary)
    let test = try TestLoop()
    let nobody = try RedisServer.freePort()
    let settings = try good.settings(before: [nobody, others.port, stranger.ports[0], silent.ports[0]])
    let client = RedisClient(loop: test.loop, dialer: test.dialer, settings: settings)
    defer { client.close() }
    client.start()
    test.run(until: { client.isReady })
    #expect(port(client, test) == primary.port)
    silent.signal(0, SIGCONT)
  }

  @Test(arguments: [("unknown", "knows no primary \"unknown\""), ("main", "no Sentinel")])
  func `why there is no primary is said`(name: String, text: String) throws {
    let primary = try RedisServer()
    let sentinels = try Sentinels(1, watching: primary)
    var settings = try sentinels.settings(primary: name)
    // A server that is no Sentinel.
    if name == "main" { settings.sentinel?.addresses = [RedisAddress(host: "127.0.0.1", port: primary.port)] }
    let test = try TestLoop()
    let client = RedisClient(loop: test.loop, dialer: test.dialer, settings: settings)
    defer { client.close() }
    client.start()
    test.run(until: { client.lastFault != nil })
    #expect(client.isAway && client.fault.contains(text), "\(client.fault)")
  }

  @Test(arguments: ["asked for", "the primary is killed", "the primary hangs"])
  func `all connections go to the new primary`(how: String) throws {
    let (primary, replica) = try pair()
    let sentinels = try Sentinels(3, watching: primary)
    let test = try TestLoop()
    // Until they know of each other and of the replica.
    let state = { try sentinels.cli(0, "sentinel", "master", "main") }
    var isComplete = false
    for _ in 0..<100 where !isComplete {
      let words = try state().split(separator: "\n")
      func value(_ name: Substring) -> Substring? { zip(words, words.dropFirst()).first { $0.0 == name }?.1 }
      isComplete = value("num-slaves") == "1" && value("num-other-sentinels") == "2"
      test.run(for: .milliseconds(100))
    }
    #expect(isComplete)
    var settings = try sentinels.settings()
    settings.commandTimeout = .seconds(5)
    let client = RedisClient(loop: test.loop, dialer: test.dialer, settings: settings)
    defer { client.close() }
    client.start()
    let heard = Hearer()
    client.channels.add(heard, to: "news")
    test.run(until: { client.isReady && heard.opened == 1 })
    #expect(port(client, test) == primary.port)
    let start = SystemClock.now
    switch how {
    case "asked for": try sentinels.cli(0, "sentinel", "failover", "main")
    case "the primary is killed": primary.kill()
    default: primary.signal(SIGSTOP)
    }
    test.run(until: { heard.opened == 2 && client.isReady })
    // A command that was sent while the former primary still answered may have found it.
    test.run(until: { (try? replica.cli("info", "clients").contains("connected_clients:0")) == false })
    #expect(port(client, test) == replica.port)
    try replica.cli("publish", "news", "from the new primary")
    test.run(until: { heard.messages == ["from the new primary"] })
    print("\(how): at the new primary after \((SystemClock.now - start).milliseconds) ms")
    if how == "the primary hangs" { primary.signal(SIGCONT) }
  }

  @Test func `without any Sentinel the connections stand, and new ones go where the primary was`() throws {
    let primary = try RedisServer()
    let sentinels = try Sentinels(1, watching: primary)
    let test = try TestLoop()
    let client = RedisClient(loop: test.loop, dialer: test.dialer, settings: try sentinels.settings())
    defer { client.close() }
    client.start()
    test.run(until: { client.isReady })
    sentinels.signal(0, SIGKILL)
    test.run(for: .seconds(3))
    #expect(client.isReady && client.counts.losses <= 1)
    client.store.connection?.drop(because: "a test")
    test.run(until: { client.isReady })
    #expect(port(client, test) == primary.port)
  }

  @Test func `each has an account of its own`() throws {
    let primary = try RedisServer(isNew: true, ["--requirepass", "for-redis"])
    let lines = ["requirepass for-sentinel", "sentinel auth-pass main for-redis"]
    let sentinels = try Sentinels(1, watching: primary, lines)
    let test = try TestLoop()
    var settings = try sentinels.settings()
    settings.password = "for-redis"
    func fault(_ settings: RedisSettings) -> String {
      let client = RedisClient(loop: test.loop, dialer: test.dialer, settings: settings)
      defer { client.close() }
      client.start()
      test.run(until: { client.isReady || client.lastFault != nil })
      return client.isReady ? "" : client.fault
    }
    #expect(fault(settings).contains("NOAUTH"))
    settings.sentinel?.password = "for-redis"
    #expect(fault(settings).contains("WRONGPASS"))
    settings.sentinel?.password = "for-sentinel"
    #expect(fault(settings) == "")
  }
}

/// Counts how often a channel opened, and keeps what came.
private final class Hearer: ChannelListener {
  var opened = 0
  var messages: [String] = []

  func channelOpened() { opened += 1 }
  func channelClosed() {}
  func channelReceived(_ message: RedisReply) { messages.append(message.text) }
}
