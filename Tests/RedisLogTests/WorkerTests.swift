import Glibc
import Loop
import Processes
import RedisLog
import Runs
import Streams
import Testing
import Time

/// The worker that `docs/protocol.md` shows, as it stands there.
@Suite(.serialized) struct WorkerTests {
  private static let root = String(#filePath.prefix(#filePath.count - "/Tests/RedisLogTests/WorkerTests.swift".count))

  /// The interpreter of the virtual environment that `.ci/test` makes.
  static let python: String? = {
    let folder = Host.environment["FERMATA_VENV"] ?? "\(root)/.build/venv"
    if access("\(folder)/bin/python", X_OK) == 0 { return "\(folder)/bin/python" }
    print(
      """
      *** \(folder) is missing: the test of the worker in docs/protocol.md does NOT run. To get it: \
      python3 -m venv \(folder) && \(folder)/bin/pip install -r \(root)/Tests/RealClients/requirements.txt ***
      """)
    return nil
  }()

  static var isWanted: Bool { RedisServer.isAvailable && (python != nil || Host.environment["CI"] == "true") }

  private func text(_ path: String) throws -> String {
    let file = try #require(fopen("\(Self.root)/\(path)", "r"))
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 1 << 20)
    let count = fread(&bytes, 1, bytes.count, file)
    return String(decoding: bytes.prefix(count), as: UTF8.self)
  }

  @Test func `the worker among the examples is the one that the protocol shows`() throws {
    #expect(try worker() == text("docs/examples/worker.py"))
  }

  private func worker() throws -> String {
    let text = try text("docs/protocol.md")
    let start = try #require(text.firstRange(of: "```python\n"))
    let rest = text[start.upperBound...]
    return String(rest[..<(try #require(rest.firstRange(of: "```"))).lowerBound])
  }

  @Test(.enabled(if: WorkerTests.isWanted), arguments: [false, true])
  func `the worker of the documentation is understood, and stops when it is asked to`(isCancelled: Bool) throws {
    let python = try #require(Self.python, "there is no Python with the packages of Tests/RealClients")
    let (test, server) = (try TestLoop(), try RedisServer())
    var settings = RedisSettings()
    settings.port = server.port
    let client = RedisClient(loop: test.loop, dialer: test.dialer, settings: settings)
    defer { client.close() }
    let file = try server.directory.write("worker.py", try worker())
    let run = try #require(RunID("run-1"))
    let reader = FeedRecorder()
    _ = client.follower.follow(run, source: .worker, handler: reader)
    let child = try ChildProcess(
      [python, file, "run-1", "redis://127.0.0.1:\(server.port)"], environment: ["NO_PROXY": "*", "no_proxy": "*"])
    if isCancelled {
      test.run(until: { reader.blocks.count == 3 })
      client.store.requestCancel(run) { _ in }
    }
    test.run(until: { reader.end != nil })
    #expect(child.wait(timeout: .seconds(10)) == .code(0))
    #expect(reader.blocks.first == "event: status\ndata: {\"state\": \"started\"}\n\n")
    #expect(reader.blocks[1] == "event: delta\ndata: Every\n\n")
    if isCancelled {
      #expect(reader.end?.outcome == .cancelled && reader.blocks.count < 10)
    } else {
      #expect(reader.end?.outcome == .completed && reader.end?.reason == "the worker has said everything")
      #expect(reader.blocks.count == 11 && reader.blocks.last == "event: complete\ndata: {\"words\": 9}\n\n")
    }
    #expect((Int(try server.cli("TTL", "ai:run:run-1:events")) ?? 0) > 3500)
  }
}
