import Files
import Flags
import Harness
import JSON
import Loop
import Processes
import Testing
import Time

/// A gateway with a guard that looks often, a backend that can be made to fail one cohort, and clients of both.
final class Stage {
  let bench: Workbench
  let backend: ScriptedBackend
  let clients: ClientLoop
  private let configuration: String
  private var gateway: ChildProcess
  private var second: ChildProcess?

  /// Where the second gateway is.
  struct Second {
    let listen: SocketAddress
    let admin: String
  }

  private(set) var listen: SocketAddress
  private(set) var adminAddress: SocketAddress
  private var nextKey = 0

  /// - Parameters:
  ///   - flagFile: in place of the bench's own.
  ///   - margin: how much worse the new closing may be.
  convenience init(flagFile: String? = nil, margin: Double = 0.1) throws {
    try self.init(
      flagFile: flagFile,
      flags: """
        guard: {
            interval: "200ms", minSamples: 100, dryRun: ["time_to_first_token", "retries"],
            truncation: { margin: \(margin) }, client_aborts: { margin: \(margin) },
            unconfirmed_closes: { margin: \(margin) },
          }
        """)
  }

  /// - Parameter flags: members of `flags` beside the file.
  init(flagFile: String? = nil, flags: String) throws {
    bench = try Workbench()
    backend = try ScriptedBackend.start()
    configuration = try bench.write(
      "gateway.json5",
      """
      {
        listen: "127.0.0.1:0", admin: { listen: "127.0.0.1:0" }, upstream: "http://\(backend.address)", workers: 2,
        identity: { header: "x-client-id" },
        flags: {
          file: "\(flagFile ?? bench.file)",
          \(flags),
        },
        drain: "1s",
      }
      """)
    (gateway, listen, adminAddress) = try Self.start(configuration, log: bench.directory.path + "/gateway.log")
    clients = try ClientLoop.start()
  }

  var admin: String { "http://\(adminAddress)" }

  private static func start(
    _ configuration: String, log: String
  ) throws -> (ChildProcess, SocketAddress, SocketAddress) {
    let gateway = try ChildProcess([Workbench.program, "serve", "--config", configuration], errorFile: log)
    let started = try Self.started(in: log)
    let listen = try #require(started["listen"]?.string.flatMap { SocketAddress(parsing: $0) })
    return (gateway, listen, try #require(started["admin"]?.string.flatMap { SocketAddress(parsing: $0) }))
  }

  /// Asks the gateway to end, and goes on at once.
  func terminate() { gateway.signal(15) }

  /// The status with which the gateway has ended.
  func ended() -> ChildProcess.Exit? { gateway.wait(timeout: .seconds(20)) }

  /// Another gateway beside it, on the same flag file; the admin listener's URL.
  func startSecondGateway() throws -> String { try startSecond().admin }

  /// The same, and where clients connect.
  func startSecond() throws -> Second {
    let log = bench.directory.path + "/second.log"
    let own = try readFile(configuration, limit: 1 << 16).bytes
    // The guard's state is a process's own.
    let text = String(decoding: own, as: UTF8.self).replacing(
      "guard: {", with: "guardState: \"\(bench.directory.path)/second.guard\", guard: {")
    let (process, listen, admin) = try Self.start(try bench.write("second.json5", text), log: log)
    second = process
    return Second(listen: listen, admin: "http://\(admin)")
  }

  /// Another process in place of the gateway.
  func restartGateway() throws {
    gateway.stop(grace: .seconds(10))
    let log = bench.directory.path + "/gateway-2.log"
    (gateway, listen, adminAddress) = try Self.start(configuration, log: log)
  }

  deinit {
    gateway.stop()
    second?.stop()
    clients.stop()
    backend.stop()
  }

  /// The gateway's first log line, which has its addresses.
  private static func started(in log: String) throws -> JSONValue {
    let deadline = SystemClock.now + .seconds(15)
    while SystemClock.now < deadline {
      for line in (try? String(decoding: readFile(log, limit: 1 << 20).bytes, as: UTF8.self).split(separator: "\n"))
        ?? []
      {
        if let value = try? JSONValue(parsing: String(line)), value["event"] == "started" { return value }
      }
      SystemClock.sleep(.milliseconds(20))
    }
    throw ProcessFailure(text: "the gateway did not start")
  }

  struct ProcessFailure: Error { var text: String }

  func flags(_ arguments: String...) throws -> Workbench.Answer { try bench.run(arguments + ["--json"]) }

  func change(_ arguments: String...) throws -> Workbench.Answer {
    try bench.run(arguments + ["--json", "--reason", "play", "--admin", admin])
  }

  func status() throws -> JSONValue { try flags("rollout", "status", "--admin", admin).data }

  /// Waits until `condition` holds for the status; the last status either way.
  func eventually(_ condition: (JSONValue) -> Bool) throws -> JSONValue {
    let deadline = SystemClock.now + .seconds(20)
    var status = try self.status()
    while !condition(status), SystemClock.now < deadline {
      SystemClock.sleep(.milliseconds(100))
      status = try self.status()
    }
    return status
  }

  /// Streams of fresh clients, as many in each cohort; the modes that those in the new one got.
  /// - Parameter fault: the script's query for the new cohort, in which the backend fails.
  func play(perCohort count: Int, fault: String? = nil) async throws -> [String: Int] {
    let set = try FlagSet(parsing: try readFile(bench.file, limit: 1 << 20).bytes)
    var streams: [(isOn: Bool, stream: LiveStream)] = []
    var modes: [String: Int] = [:]
    var wanted = [true: count, false: count]
    if Simulation(set, "stream-closing", Simulation.keys(count: 2000)).members(of: "graceful") == 0 { wanted[true] = 0 }
    while wanted.values.contains(where: { $0 > 0 }) {
      nextKey += 1
      let key = "client-\(nextKey)"
      let isOn = set.evaluate(.streamClosing, EvaluationContext(targetingKey: key)).variant == "graceful"
      guard let rest = wanted[isOn], rest > 0 else {
        // Everybody is in: there is no other cohort to play.
        if wanted[true] == 0 || nextKey > 400_000 { break }
        continue
      }
      wanted[isOn] = rest - 1
      let query = isOn ? fault ?? "events=3&done=1" : "events=3&done=1"
      let fields = [Script.Field("X-Client-Id", key), Script.Field("Prefer", "stream-end")]
      streams.append((isOn, clients.open(ClientRequest("GET", "/s?\(query)", fields: fields), from: listen)))
      if streams.count == 40 { await Self.finish(&streams, &modes) }
    }
    await Self.finish(&streams, &modes)
    return modes
  }

  /// One stream of a client of the allow-list; its mode.
  func playInternal(_ key: String) async throws -> String? {
    let fields = [Script.Field("X-Client-Id", key), Script.Field("Prefer", "stream-end")]
    let result = await clients.open(ClientRequest("GET", "/s?events=3&done=1", fields: fields), from: listen).result()
    return result.head.value("X-Stream-Mode")
  }

  private static func finish(_ streams: inout [(isOn: Bool, stream: LiveStream)], _ modes: inout [String: Int]) async {
    for (isOn, stream) in streams {
      let result = await stream.result()
      if isOn { modes[result.head.value("X-Stream-Mode") ?? "\(result.end)", default: 0] += 1 }
    }
    streams = []
  }

  /// Plays until the guard has seen enough of the phase to say pass.
  func playUntilPass() async throws {
    for _ in 0..<20 {
      _ = try await play(perCohort: 150)
      SystemClock.sleep(.milliseconds(250))
      let report = try status()["guard"]?["phase"]
      if report?["verdict"] == "pass", (report?["streams"]?.integer ?? 0) >= 100 { return }
    }
    Issue.record("the guard never said pass: \(try status().text())")
  }
}
