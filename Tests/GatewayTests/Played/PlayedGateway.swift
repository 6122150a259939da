import Bytes
import Configuration
import Files
import FlagControl
import Flags
import Gateway
import Glibc
import HTTP
import Logging
import Loop
import Sockets
import Streams
import TLS
import Telemetry
import Testing
import Time

/// One loop of a gateway, put together as it is when it runs, with everything outside played: its clock, its backends, its
/// clients, the store of its runs.
final class PlayedGateway {
  let clock: PlayedClock
  let loop: EventLoop
  let backends: PlayedBackends
  let context: LoopContext
  let process: ProcessRuns
  private let worker: Worker
  private let peers: LoopPeers<LoopRuns>
  private var clients: [WeakClient] = []

  private static let metrics = GatewayMetrics()
  static let silence = LogWriter(descriptor: Glibc.open("/dev/null", O_WRONLY))

  /// - Parameters:
  ///   - configuration: as in a file.
  ///   - variant: what the flag gives everybody.
  ///   - truth: what the store holds, if there is one.
  ///   - other: a loop of the same process, if there is one.
  ///   - limits: how many connections there may be.
  ///   - writer: gets the lines of the log.
  init(
    _ configuration: String = PlayedGateway.usual(), variant: Mode = .graceful, store truth: PlayedTruth? = nil,
    beside other: PlayedGateway? = nil, clock: PlayedClock = PlayedClock(),
    limits: ConnectionLimits = PlayedGateway.limits(), log writer: LogWriter = PlayedGateway.silence
  ) throws {
    self.clock = other?.clock ?? clock
    loop = try EventLoop(clock: self.clock)
    backends = PlayedBackends(loop: loop)
    let decoded = try Configuration(configuration)
    process = other?.process ?? ProcessRuns(decoded, identitySeed: 1)
    peers = other?.peers ?? LoopPeers()
    let log = WorkerLog(writer: writer, level: .debug)
    context = LoopContext(
      index: other.map { $0.context.index + 1 } ?? 0, loop: loop, metrics: Self.metrics,
      log: log, backends: backends)
    worker = Worker(
      context: context, settings: Settings(decoded), flags: try Self.flags(variant), process: process, peers: peers,
      limits: limits,
      tickets: TicketKeys(), stores: PlayedStores(truth, loop: loop))
  }

  deinit {
    // What a connection would do for its requests when it is broken.
    for client in clients { client.value?.leave() }
    worker.stop()
    loop.abandonMembers()
  }

  /// A gateway whose routes keep their runs in the store, and one for workers' runs.
  static func replica(
    _ truth: PlayedTruth, runs: String = "", more: String = "", variant: Mode = .graceful,
    clock: PlayedClock = PlayedClock()
  ) throws -> PlayedGateway {
    try PlayedGateway(
      """
      {
        upstreams: { b: { url: "http://backend" } },
        runs: { redis: { url: "redis://played" }, \(more) },
        routes: [
          { name: "agents", path: "/api/agents/stream/:runId", runs: { source: "redis" } },
          {
            name: "chat", path: "/chat", methods: ["POST", "GET"], upstreams: "b",
            runs: { store: "redis", \(runs) },
          },
        ],
      }
      """, variant: variant, store: truth, clock: clock)
  }

  static func usual(runs: String = "{}", stream: String = "{}", more: String = "") -> String {
    """
    {
      upstreams: { b: { url: "http://backend" } },
      routes: [{
        name: "chat", path: "/chat", methods: ["POST", "GET"], upstreams: "b", stream: \(stream), runs: \(runs),
      }],
      \(more)
    }
    """
  }

  /// Routes without runs: a chat with one backend, one with two, and one that takes pages of other origins.
  static func direct(stream: String = "{}", more: String = "", pair: String = "") -> String {
    """
    {
      upstreams: { b: { url: "http://backend" }, c: { url: "http://spare" } },
      routes: [
        { name: "chat", path: "/chat", methods: ["POST", "GET"], upstreams: "b", stream: \(stream) },
        { name: "pair", path: "/pair", methods: ["POST", "GET"], upstreams: ["b", "c"], stream: \(stream), \(pair) },
        {
          name: "page", path: "/page", methods: ["POST", "GET"], upstreams: "b",
          cors: { origins: ["https://app.example"] },
        },
      ],
      \(more)
    }
    """
  }

  /// - Parameters:
  ///   - clients: connections of clients at once; 0: thousands.
  ///   - upstreams: connections to backends at once.
  static func limits(clients: Int = 0, upstreams: Int = 0) -> ConnectionLimits {
    ConnectionLimits(descriptors: 10_000, clients: clients, upstreams: upstreams, loops: 1)
  }

  static func flags(_ variant: Mode) throws -> FlagSnapshot {
    let text = """
      {"flags": {"stream-closing": {"state": "ENABLED", "defaultVariant": "\(variant.rawValue)", "variants":
      {"legacy": "legacy", "shield": "shield", "graceful": "graceful"}}}}
      """
    return FlagSnapshot(try FlagSet(parsing: [UInt8](text.utf8)), loadedAt: WallTime(milliseconds: 0))
  }

  // MARK: - Playing

  /// A client asks for a run, and its backend opens a stream.
  func open(
    _ fields: [(String, String)] = [], as user: String = "alice", prefersEnd: Bool = true
  ) throws -> (client: PlayedClient, backend: PlayedConnection) {
    let client = try request("POST", "/chat", fields, as: user, prefersEnd: prefersEnd)
    guard let backend = backends.last else { throw NotPlayable() }
    backend.openStream()
    turns()
    return (client, backend)
  }

  /// A client makes a request. Its fields make it understand `stream_end`, and name who it is, unless others are given.
  @discardableResult
  func request(
    _ method: String = "POST", _ path: String = "/chat", _ fields: [(String, String)] = [], as user: String = "alice",
    prefersEnd: Bool = true, turns count: Int = 8
  ) throws -> PlayedClient {
    var all = Fields()
    var given = fields
    if prefersEnd { given.append(("Prefer", "stream-end")) }
    if !user.isEmpty { given.append(("Authorization", "Bearer \(user)")) }
    for (name, value) in given {
      guard let name = FieldName(name), let value = FieldValue(value) else { throw NotPlayable() }
      all.append(name, value)
    }
    guard let method = HTTP.Method(method), let target = Target(path) else { throw NotPlayable() }
    let client = PlayedClient()
    clients.append(WeakClient(value: client))
    client.begin(worker.exchange(for: RequestHead(method: method, target: target, fields: all), of: client))
    turns(count)
    return client
  }

  /// A client connects.
  ///
  /// - Parameter http2: whether it may speak HTTP/2 too.
  func connect(http2: Bool = false) -> PlayedConnection {
    let connection = PlayedConnection(loop: loop)
    var listener = ListenerSettings(address: .localPeer)
    if http2 { listener.http2 = .cleartext }
    worker.serve(connection, at: listener)
    return connection
  }

  /// A client connects and sends that.
  func connect(sending text: String) -> PlayedConnection {
    let connection = connect()
    connection.send(text)
    turns()
    return connection
  }

  /// Lets the loop do what is due, without time passing.
  func turns(_ count: Int = 8) {
    for _ in 0..<count { loop.turn() }
  }

  /// Lets time pass, tick by tick.
  func pass(_ time: Nanoseconds, tick: Nanoseconds = .milliseconds(50)) {
    var left = time
    while left > .zero {
      let step = min(left, tick)
      clock.pass(step)
      left = left - step
      loop.deadlines.scan(at: loop.readClock())
      turns(3)
    }
  }

  /// Lets time pass, and has the client's exchange look at its clocks as its connection would.
  func pass(_ time: Nanoseconds, of client: PlayedClient) {
    let tick = Nanoseconds.milliseconds(100)
    for _ in 0..<max(1, time.value / tick.value) {
      pass(tick, tick: tick)
      if !client.isOver { _ = client.exchange?.timePassed(loop.now) }
    }
  }

  /// - Parameter recall: `none` lifts a kill.
  func kill(_ recall: Recall) {
    var override = ClosingOverride()
    override.kill = recall
    worker.adopt(override)
  }

  /// There is a new flag file.
  func adopt(_ variant: Mode) throws { worker.adopt(try Self.flags(variant)) }

  /// What is counted on this loop, as `/metrics` has it: the values by name and labels.
  var numbers: [String: Double] {
    var text = ByteBuffer()
    PrometheusText.write(worker.snapshot(), to: &text)
    var numbers: [String: Double] = [:]
    for line in String(copying: text.span).split(separator: "\n") where !line.hasPrefix("#") {
      guard let space = line.lastIndex(of: " ") else { continue }
      numbers[String(line[..<space])] = Double(line[line.index(after: space)...])
    }
    return numbers
  }

  /// There is a new configuration.
  func adopt(_ configuration: String) throws { worker.adopt(Settings(try Configuration(configuration))) }

  func stop() { worker.stop() }
  func drain(_ completion: @escaping () -> Void = {}) { worker.drain(completion) }
  func endStreams() { worker.endStreams(jitter: .zero) }
  func endRuns() {
    worker.endRuns()
    turns()
  }
}

struct NotPlayable: Error {}

private struct WeakClient {
  weak var value: PlayedClient?
}

/// Lets the loops do what is due, and time pass, until something is so.
func turns(_ gateways: PlayedGateway..., until isSo: () -> Bool) {
  for _ in 0..<500 where !isSo() {
    for gateway in gateways { gateway.pass(.milliseconds(10)) }
  }
}

/// Lets both loops do what is due.
func turns(_ gateways: PlayedGateway..., count: Int = 12) {
  for _ in 0..<count { for gateway in gateways { gateway.loop.turn() } }
}

extension PlayedTruth {
  /// Two gateways that keep their runs here.
  func replicas(_ runs: String = "") throws -> (PlayedGateway, PlayedGateway) {
    (try .replica(self, runs: runs), try .replica(self, runs: runs))
  }
}

extension PlayedGateway {
  /// Another reader of the stream that `client` has from `other`.
  func read(_ client: PlayedClient, of other: PlayedGateway) throws -> PlayedClient {
    let reader = try request("GET", "/fermata/streams/\(client.stream)")
    GatewayTests.turns(other, self)
    return reader
  }

  /// `backend` answers with a whole stream, and `client` gets it.
  func serveWhole(from backend: PlayedConnection?, to client: PlayedClient) throws {
    let backend = try #require(backend)
    backend.openStream()
    backend.event("one")
    backend.event("[DONE]")
    backend.endStream()
    turns()
    #expect(client.data == ["one", "[DONE]"])
    #expect(client.end("outcome") == "completed")
  }
}
