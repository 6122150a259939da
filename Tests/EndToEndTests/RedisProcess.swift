import Glibc
import Harness
import Processes
import RunningGateway
import Synchronization
import Testing
import Time

/// A redis-server of a test's own, which keeps what it has acknowledged.
final class RedisProcess: Sendable {
  let port: Int
  private let directory: ScratchDirectory
  private let child = Mutex<ChildProcess?>(nil)

  /// Whether the machine has one. Where everything must be there (`CI=true`) a missing one is a failure.
  static let isAvailable: Bool = {
    let found = (try? ChildProcess(["redis-server", "--version"]))?.wait(timeout: .seconds(10)) == .code(0)
    if !found {
      print("*** redis-server is missing: the tests of runs on several replicas do NOT run ***")
      if getenv("CI") != nil { Issue.record("redis-server is missing") }
    }
    return found
  }()

  init() async throws {
    directory = try ScratchDirectory()
    port = Int.random(in: 20_000..<32_000)
    try await restart()
  }

  /// Starts it, with everything that it had.
  func restart() async throws {
    let arguments = [
      "redis-server", "--port", "\(port)", "--bind", "127.0.0.1", "--dir", directory.path, "--save", "",
      "--appendonly", "yes", "--appendfsync", "always", "--logfile", directory["log"],
    ]
    try child.withLock { $0 = try ChildProcess(arguments) }
    let isReady = try await eventually(within: .seconds(20)) {
      if child.withLock({ $0?.wait(timeout: .milliseconds(1)) }) != nil {
        throw SupportError("redis-server did not start: \(directory.text("log") ?? "")")
      }
      return try cli("ping") == "PONG"
    }
    if !isReady { throw SupportError("redis-server is not ready: \(directory.text("log") ?? "")") }
  }

  /// `kill -9`.
  func kill() {
    child.withLock { child in
      child?.signal(SIGKILL)
      _ = child?.wait(timeout: .seconds(5))
      child = nil
    }
  }

  @discardableResult
  func cli(_ arguments: String...) throws -> String {
    let cli = try ChildProcess(["redis-cli", "-p", "\(port)"] + arguments)
    cli.closeInput()
    var lines: [String] = []
    while let line = cli.readLine(timeout: .seconds(10)) { lines.append(line) }
    _ = cli.wait(timeout: .seconds(5))
    return lines.joined(separator: "\n")
  }
}
