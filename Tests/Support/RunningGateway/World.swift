package import Harness
package import JSON
import Loop
import Processes
package import TLS
package import Time

/// A scripted backend, the gateway in front of it, and clients: what most tests need.
package struct World: Sendable {
  package let backend: ScriptedBackend
  package let gateway: GatewayProcess
  package let clients: ClientLoop
  package let flags: FlagFile

  /// How the world is made.
  package struct Setup: Sendable {
    /// The variant that the flag gives everybody.
    package var variant = "legacy"
    /// Settings by their path, such as `stream.idle`.
    package var settings: [String: String] = [:]
    /// A configuration file in JSON5; `UPSTREAM` in it becomes the backend's URL.
    package var configuration: String?
    /// Makes the backend one of https.
    package var tls: TLSServerSettings?
    /// How many descriptors the gateway may open; `nil`: as many as this process.
    package var descriptors: Int?
    package var script: @Sendable (RecordedRequest) -> Script = ScriptedBackend.byQuery

    package init(
      variant: String = "legacy", settings: [String: String] = [:], configuration: String? = nil,
      script: @escaping @Sendable (RecordedRequest) -> Script = ScriptedBackend.byQuery
    ) {
      self.variant = variant
      self.settings = settings
      self.configuration = configuration
      self.script = script
    }
  }

  /// Settings of every gateway that a task starts, under those of its own.
  @TaskLocal package static var standardSettings: [String: String] = [:]

  /// Makes a world, calls `body` in it, and ends it. However the test went, the gateway must have survived it: no
  /// stream may be left behind and SIGTERM must end it with status 0.
  package static func with(_ setup: Setup = Setup(), _ body: (World) async throws -> Void) async throws {
    let world = try await World(setup)
    do {
      try await body(world)
    } catch {
      await world.tearDown()
      throw error
    }
    if let complaint = await world.end() {
      throw SupportError(complaint + "\n" + String(world.gateway.logText.suffix(4000)))
    }
  }

  /// The same with one script for every request.
  package static func with(
    _ variant: String, settings: [String: String] = [:], _ script: Script, _ body: (World) async throws -> Void
  ) async throws {
    try await with(Setup(variant: variant, settings: settings, script: { _ in script }), body)
  }

  private init(_ setup: Setup) async throws {
    backend = try ScriptedBackend.start(tls: setup.tls, choose: setup.script)
    clients = try ClientLoop.start()
    flags = try FlagFile(setup.variant)
    var arguments = ["--flags", flags.path]
    if let configuration = setup.configuration {
      flags.directory.write("fermata.json5", Self.fill(configuration, upstream: backend.url))
      arguments += ["--config", flags.directory["fermata.json5"]]
    } else {
      arguments += ["--upstream", backend.url]
    }
    do {
      gateway = try await GatewayProcess.start(
        arguments, environment: Self.variables(Self.standardSettings.merging(setup.settings) { $1 }),
        descriptors: setup.descriptors, clients: clients)
    } catch {
      backend.stop()
      clients.stop()
      throw error
    }
  }

  private static func fill(_ text: String, upstream: String) -> String {
    text.split(separator: "UPSTREAM", omittingEmptySubsequences: false).joined(separator: upstream)
  }

  /// `stream.firstToken` is `FERMATA_STREAM_FIRST_TOKEN`.
  package static func variables(_ settings: [String: String]) -> [String: String] {
    Dictionary(
      uniqueKeysWithValues: settings.map { path, value in
        let words = path.map { $0 == "." ? "_" : $0.isUppercase ? "_\($0)" : $0.uppercased() }
        return ("FERMATA_" + words.joined(), value)
      })
  }

  /// Replaces the configuration file.
  package func configure(_ text: String) {
    flags.directory.replace("fermata.json5", Self.fill(text, upstream: backend.url))
  }

  // MARK: The end

  private func end() async -> String? {
    var complaint: String?
    if gateway.isRunning {
      let isEmpty = await eventually(within: .seconds(8)) {
        let open = await gateway.metric("ai_stream_connections_active")
        return open == 0 || !gateway.isRunning
      }
      if !isEmpty { complaint = "streams are left behind" }
      if ClientTransport.standard.speaksHTTP2, await gateway.metric("fermata_http2_connections_total") == 0 {
        complaint = "nothing came over HTTP/2"
      }
      gateway.signal(15)
      if await gateway.exit(within: .seconds(10)) != .code(0) { complaint = "the gateway did not end well" }
    } else if await gateway.exit(within: .zero) != .code(0) {
      complaint = "the gateway is dead"
    }
    await tearDown()
    return complaint
  }

  private func tearDown() async {
    if gateway.isRunning {
      gateway.signal(9)
      _ = await gateway.exit(within: .seconds(5))
    }
    backend.stop()
    clients.stop()
  }
}

// MARK: - Clients

extension Script.Field {
  /// What a new client says.
  package static let prefersStreamEnd = Script.Field("Prefer", "stream-end")
  package static let acceptsEvents = Script.Field("Accept", "text/event-stream")
}

extension World {
  /// One request of an old client, to its end.
  package func fetch(
    _ target: String = "/", fields: [Script.Field] = [.acceptsEvents], behaviour: ClientBehaviour = ClientBehaviour()
  ) async -> ClientResult {
    await clients.fetch(ClientRequest("GET", target, fields: fields), from: gateway.address, behaviour: behaviour)
  }

  /// One request of a client that understands `stream_end`.
  package func fetchNew(
    _ target: String = "/", fields: [Script.Field] = [], behaviour: ClientBehaviour = ClientBehaviour()
  ) async -> ClientResult {
    await fetch(target, fields: [.acceptsEvents, .prefersStreamEnd] + fields, behaviour: behaviour)
  }

  package func send(_ request: ClientRequest, behaviour: ClientBehaviour = ClientBehaviour()) async -> ClientResult {
    await clients.fetch(request, from: gateway.address, behaviour: behaviour)
  }

  package func open(
    _ target: String = "/", fields: [Script.Field] = [.acceptsEvents], behaviour: ClientBehaviour = ClientBehaviour()
  ) -> LiveStream {
    clients.open(ClientRequest("GET", target, fields: fields), from: gateway.address, behaviour: behaviour)
  }

  package func openNew(_ target: String = "/", behaviour: ClientBehaviour = ClientBehaviour()) -> LiveStream {
    open(target, fields: [.acceptsEvents, .prefersStreamEnd], behaviour: behaviour)
  }

  /// The clock of the machine.
  package var clock: MonotonicTime { SystemClock.now }

  /// Waits until as many streams have ended as `outcomes` has words, and returns what their log lines say.
  package func outcomes(_ count: Int = 1) async -> [String] {
    _ = await eventually { gateway.outcomes.count >= count }
    return gateway.outcomes
  }

  /// Puts `text` in the flag file's place and waits until every worker uses it.
  package func setFlags(_ text: String, version: String) async -> Bool {
    flags.replace(text)
    return await usesFlags(version)
  }

  /// Waits until every worker uses the flags of that version.
  package func usesFlags(_ version: String, within limit: Nanoseconds = .seconds(10)) async -> Bool {
    await eventually(within: limit) {
      let workers = (try? await gateway.json("/flags"))?["workers"]?.array ?? []
      return !workers.isEmpty && workers.allSatisfy { $0["version"]?.string == version }
    }
  }
}

extension ClientResult {
  /// The payload of the last event, when that is a `stream_end`.
  package var streamEnd: JSONValue? {
    guard let last = events.last, last.type == "stream_end" else { return nil }
    return try? JSONValue(parsing: last.data)
  }

  package var outcome: String? { streamEnd?["outcome"]?.string }

  /// What the backend sent: all events but the gateway's own.
  package var backendEvents: [ReceivedEvent] {
    let own: Set<String> = ["stream_end", "error", "control", "stream_reset"]
    return events.filter { !own.contains($0.type) || !$0.data.contains("\"source\":\"gateway\"") }
  }

  /// The data of the backend's events, in order.
  package var payloads: [String] { backendEvents.map(\.data) }

  package var mode: String? { head.value("X-Stream-Mode") }
}
