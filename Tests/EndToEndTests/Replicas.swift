import Glibc
import Harness
import JSON
import Processes
import RunningGateway
import Testing
import Time

/// Two gateways, one Redis, one backend.
struct Replicas: Sendable {
  let world: World
  /// The second gateway; the first is the world's.
  let other: GatewayProcess
  let redis: RedisProcess

  /// What both gateways have logged, for messages.
  var logs: String { "\n\(world.gateway.logText)\nthe other:\n\(other.logText)" }

  struct Setup {
    /// The variant that the flag gives everybody.
    var variant = "graceful"
    /// Members of the route's `runs`.
    var runs = "onDisconnect: \"continue\""
    /// Members of `runs.redis`, beside the URL.
    var redis = "lease: \"2s\""
    /// Members of `runs` beside it, each with a comma behind.
    var common = ""
    var server = RedisProcess.Setup()
    /// The password that the gateways know, if that is another.
    var saidPassword: String?
    /// Behind the address in Redis's URL.
    var path = ""
    /// Another address that leads to Redis.
    var url: String?
    /// More variables of the second gateway.
    var otherEnvironment: [String: String] = [:]
    var script: @Sendable (RecordedRequest) -> Script

    init(script: @escaping @Sendable (RecordedRequest) -> Script) {
      self.script = script
    }

    /// The configuration of both gateways.
    func configuration(_ url: String) -> String {
      """
      { upstreams: { main: { url: "UPSTREAM" } },
        runs: { \(common) redis: { url: "\(url)", commandTimeout: "2s", \(redis) } },
        routes: [
          { name: "spoken", path: "/spoken/:runId", upstreams: ["main"], runs: { source: "pubsub" } },
          { name: "jobs", path: "/jobs/:runId", upstreams: ["main"], runs: { source: "bullmq", queue: "answers" } },
          { name: "agents", path: "/api/agents/stream/:runId", upstreams: ["main"], runs: { source: "redis" } },
          { name: "quick", path: "/quick/:runId", runs: { source: "redis" }, stream: { idle: "2s" } },
          { name: "all", path: "/*", upstreams: ["main"], runs: { store: "redis", \(runs) } } ] }
      """
    }
  }

  static func with(_ setup: Setup, _ body: (Replicas) async throws -> Void) async throws {
    let redis = try await RedisProcess(setup.server)
    defer { redis.kill() }
    try await with(setup, redis, body)
  }

  /// The same with a Redis that is there already.
  static func with(_ setup: Setup, _ redis: RedisProcess, _ body: (Replicas) async throws -> Void) async throws {
    let worldSetup = World.Setup(
      variant: setup.variant,
      configuration: setup.configuration(setup.url ?? redis.url(password: setup.saidPassword) + setup.path),
      script: setup.script)
    try await World.with(worldSetup) { world in
      let arguments = ["--flags", world.flags.path, "--config", world.flags.directory["fermata.json5"]]
      let other = try await GatewayProcess.start(
        arguments, environment: setup.otherEnvironment, clients: world.clients)
      defer { other.signal(9) }
      try await body(Replicas(world: world, other: other, redis: redis))
    }
  }

  static func with(
    _ runs: String? = nil, redis options: String? = nil, script: Script,
    _ body: (Replicas) async throws -> Void
  ) async throws {
    var setup = Setup(script: { _ in script })
    setup.runs = runs ?? setup.runs
    setup.redis = options ?? setup.redis
    try await with(setup, body)
  }

  static let root = String(#filePath.prefix(#filePath.count - "/Tests/EndToEndTests/Replicas.swift".count))

  /// The interpreter of the virtual environment that `.ci/test` makes; where it is missing, `WorkerTests` says so.
  static let python: String? = {
    let path = (Host.environment["FERMATA_VENV"] ?? "\(root)/.build/venv") + "/bin/python"
    return access(path, X_OK) == 0 ? path : nil
  }()

  var both: [GatewayProcess] { [world.gateway, other] }

  /// A request to the second gateway.
  func ask(
    _ target: String, method: String = "GET", fields: [Script.Field] = [], body: String = "",
    behaviour: ClientBehaviour = ClientBehaviour()
  ) async -> ClientResult {
    await open(target, method: method, fields: fields, body: body, behaviour: behaviour).result()
  }

  /// A request to the second gateway, or to another.
  func open(
    _ target: String, of gateway: GatewayProcess? = nil, method: String = "GET", fields: [Script.Field] = [],
    body: String = "", behaviour: ClientBehaviour = ClientBehaviour()
  ) -> LiveStream {
    let request = ClientRequest(
      method, target, fields: [.acceptsEvents, .prefersStreamEnd] + fields, body: Array(body.utf8))
    return world.clients.open(request, from: (gateway ?? other).address, behaviour: behaviour)
  }

  /// A POST with an idempotency key.
  func post(_ key: String, to target: String = "/", of gateway: GatewayProcess) -> LiveStream {
    open(target, of: gateway, method: "POST", fields: [.idempotencyKey(key), .authorization("Bearer me")], body: "{}")
  }

  /// The id of the first stream that a gateway has opened.
  func stream(of gateway: GatewayProcess) async throws -> String {
    _ = await eventually { !gateway.log("stream_opened").isEmpty }
    return try #require(gateway.log("stream_opened").first?["streamId"]?.string)
  }

  /// The outcomes that stand in a run's events: one when it is over.
  func ends(of stream: String, prefix: String = "ai:") throws -> [String] {
    let text = try redis.cli("xrange", "\(prefix)run:\(stream):events", "-", "+")
    let lines = text.split(separator: "\n")
    return zip(lines, lines.dropFirst()).compactMap { name, value in
      name == "end" ? try? JSONValue(parsing: String(value))["outcome"]?.string : nil
    }
  }
}

extension LiveStream {
  /// The id of its stream, once its head has come.
  func streamID() async throws -> String {
    _ = await eventually(within: .seconds(10)) { await soFar().streamID != nil }
    return try #require(await soFar().streamID)
  }
}
