import Dispatch
import Glibc
import Harness
import JSON
import Loop
import Processes
import RunningGateway
import Testing
import Time

/// A client library for users, in a program that reads one stream and says what it got.
enum ClientLibrary: String, CaseIterable, Sendable {
  case javascript, swift, python
  case pythonSync = "python sync"

  /// What one stream gave.
  struct Answer: Sendable {
    var payloads: [String] = []
    var ids: [String] = []
    var outcome = ""
    var isComplete = false
    var isVerified = false
    /// The code of its error.
    var error: String?
    var resets = 0
  }

  /// Where everything must be there a missing one is a failure.
  static let present: [ClientLibrary] = allCases.filter { library in
    if (try? library.command()) != nil { return true }
    print("*** the client library \(library.rawValue) can't be run: it is NOT played. `.ci/test` installs it. ***")
    if Host.environment["CI"] == "true" { Issue.record("\(library.rawValue) can't be run") }
    return false
  }

  /// The command line of its adapter. The Swift one was built beside these tests: a build can't start another.
  private func command() throws -> String {
    let adapters = Tools.root + "/Tests/Clients/Adapters"
    switch self {
    case .swift:
      let path = Program.folder + "/FermataClientAdapter"
      guard access(path, X_OK) == 0 else { throw SupportError("\(path) is not built") }
      return path
    case .javascript:
      guard try Tools.run(["node", "--version"]).exit == .code(0) else { throw SupportError("no Node.js") }
      return try Tools.run([adapters + "/run", rawValue]).lines.last ?? ""
    case .python, .pythonSync:
      guard access(Tools.root + "/.build/venv-client/bin/python", X_OK) == 0 else { throw SupportError("no venv") }
      return try Tools.run([adapters + "/run"] + rawValue.split(separator: " ").map(String.init)).lines.last ?? ""
    }
  }

  /// Posts to an address and reads to the end.
  func post(_ url: String, key: String?) async throws -> Answer {
    // On a thread of its own: the tasks' threads, as few as there are processors, must not wait for a program.
    try await withCheckedThrowingContinuation { continuation in
      DispatchQueue.global().async {
        continuation.resume(with: Result { try read(try command(), url, key) })
      }
    }
  }

  private func read(_ command: String, _ url: String, _ key: String?) throws -> Answer {
    var options: JSONValue = ["retryBaseMs": 200, "maxRetries": 8]
    if let key { options = ["retryBaseMs": 200, "maxRetries": 8, "idempotencyKey": .string(key)] }
    let job: JSONValue = [
      "case": "play", "url": .string(url), "method": "POST", "body": "{}",
      "headers": [["Content-Type", "application/json"], ["Authorization", "Bearer me"]], "options": options,
    ]
    let directory = try ScratchDirectory()
    directory.write("job", job.text() + "\n")
    let child = try ChildProcess(["/bin/sh", "-c", "exec \(command) < \(directory["job"])"])
    defer { child.stop() }
    _ = child.readLine(timeout: .seconds(60))
    guard let line = child.readLine(timeout: .seconds(40)) else { throw SupportError("\(rawValue) gave no answer") }
    return try Answer(JSONValue(parsing: line))
  }
}

extension ClientLibrary.Answer {
  init(_ answer: JSONValue) throws {
    for event in answer["events"]?.array ?? [] {
      let parts = (event.array ?? []).compactMap(\.string)
      if parts.first == "@reset" {
        resets += 1
      } else if parts.count == 3 {
        payloads.append(parts[1])
        ids.append(parts[2])
      }
    }
    let result = answer["result"]
    outcome = result?["outcome"]?.string ?? ""
    isComplete = result?["complete"]?.bool ?? false
    isVerified = result?["verified"]?.bool ?? false
    error = result?["error"]?["code"]?.string
  }
}

extension EndToEnd {
  /// The libraries that users take home, while gateways and Redis die.
  @Suite(.enabled(if: RedisProcess.isAvailable && !ClientLibrary.present.isEmpty)) struct ClientLibraries {
    /// Long enough that the slowest program to start reads when something happens.
    private static let length = 400

    /// Reads a run with every library at once, through an address that leads to the second gateway.
    ///
    /// - Parameter isFirstOwner: the runs live on the first gateway, and the second one reads them from Redis.
    private func play(
      isFirstOwner: Bool, isMoved: Bool = true, _ happens: (Replicas, SwitchingRelay) async throws -> Void,
      _ check: (ClientLibrary, ClientLibrary.Answer) -> Void
    ) async throws {
      let length = isFirstOwner ? Self.length : 10 * Self.length
      let setup = Replicas.Setup { _ in RunWorld.ticking(length, every: .milliseconds(30)) }
      try await Replicas.with(setup) { replicas in
        let relay = try SwitchingRelay(to: Int(replicas.other.address.port))
        defer { relay.stop() }
        let libraries = ClientLibrary.present
        if isFirstOwner {
          for library in libraries {
            #expect(await replicas.post(library.rawValue, of: replicas.world.gateway).receives("data: 1\n"))
          }
        }
        let answers = try await withThrowingTaskGroup(of: (ClientLibrary, ClientLibrary.Answer).self) { group in
          for library in libraries {
            group.addTask {
              let url = "http://127.0.0.1:\(relay.port)/"
              return (library, try await library.post(url, key: isFirstOwner ? library.rawValue : nil))
            }
          }
          let areReading = await eventually(within: .seconds(20)) {
            replicas.other.log("stream_opened").count == libraries.count
          }
          #expect(areReading)
          try await Task.sleep(for: .milliseconds(500))
          try await happens(replicas, relay)
          return try await group.reduce(into: []) { $0.append($1) }
        }
        for (library, answer) in answers { check(library, answer) }
        if isMoved {
          let opened = replicas.world.gateway.log("stream_opened").count
          #expect(opened == libraries.count * (isFirstOwner ? 2 : 1), "each went on at the other gateway, once")
        }
        #expect(replicas.world.backend.requests.count == libraries.count, "each run is begun and paid for once")
      }
    }

    private func expectWhole(_ library: ClientLibrary, _ answer: ClientLibrary.Answer) {
      let numbers = answer.ids.compactMap { $0.split(separator: ".").last.flatMap { Int($0) } }
      #expect(answer.payloads == RunWorld.numbers(1...Self.length), "\(library): \(answer)")
      #expect(numbers == Array(1...Self.length + 1), "\(library)")
      #expect(answer.outcome == "completed" && answer.isComplete && answer.isVerified, "\(library): \(answer)")
      #expect(answer.error == nil && answer.resets == 0, "\(library)")
    }

    @Test func `each library goes on at another gateway when its own is killed, and misses nothing`() async throws {
      try await play(isFirstOwner: true) { replicas, relay in
        relay.lead(to: Int(replicas.world.gateway.address.port))
        replicas.other.signal(SIGKILL)
      } _: {
        expectWhole($0, $1)
      }
    }

    @Test func `each library learns how a run ended whose gateway was killed, and has all that was stored`()
      async throws
    {
      try await play(isFirstOwner: false) { replicas, relay in
        relay.lead(to: Int(replicas.world.gateway.address.port))
        replicas.other.signal(SIGKILL)
      } _: { library, answer in
        let expected = (1...10 * Self.length).prefix(answer.payloads.count).map { "\($0)" }
        #expect(answer.payloads == expected && answer.payloads.count > 5, "\(library): \(answer)")
        #expect(!answer.isComplete && answer.outcome == "gateway_error", "\(library): \(answer.outcome)")
        #expect(answer.error == "gateway_error", "\(library): \(answer.error ?? "no error")")
      }
    }

    @Test func `a Redis that is started again costs no library an event`() async throws {
      try await play(isFirstOwner: true, isMoved: false) { replicas, _ in
        replicas.redis.kill()
        try await Task.sleep(for: .milliseconds(400))
        try await replicas.redis.restart()
      } _: {
        expectWhole($0, $1)
      }
    }

    @Test func `each library leaves a gateway that drains for another one, and misses nothing`() async throws {
      try await play(isFirstOwner: true) { replicas, relay in
        relay.lead(to: Int(replicas.world.gateway.address.port))
        replicas.other.signal(SIGTERM)
        #expect(await replicas.other.exit(within: .seconds(10)) == .code(0))
      } _: {
        expectWhole($0, $1)
      }
    }
  }
}
