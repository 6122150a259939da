import Glibc
import Harness
import Processes
import RunningGateway
import Synchronization
import TLS
import Testing
import Time

/// A redis-server of a test's own, which keeps what it has acknowledged.
final class RedisProcess: Sendable {
  let port: Int
  private let setup: Setup
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

  struct Setup: Sendable {
    /// For the account `gate`, instead of none for everybody.
    var password: String?
    /// Has nothing when it is started again.
    var isForgetful = false
    /// Nobody has seen it before: keys have to be waited for.
    var isNew = false
    /// More options.
    var options: [String] = []
    /// Speaks TLS alone, with this certificate.
    var identity: TLSIdentity?
  }

  init(_ setup: Setup = Setup()) async throws {
    directory = try ScratchDirectory()
    self.setup = setup
    port = try FreePort.pick()
    try await restart()
    if !setup.isNew { try growOld() }
  }

  /// Makes the life of its data an old one, so that no key has to be waited for.
  func growOld() throws {
    let script = "return redis.call('SET', KEYS[1], string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') .. ' 0')"
    try cli("EVAL", script, "1", "ai:epoch")
  }

  /// What a gateway's configuration names.
  var url: String { url() }

  /// - Parameter password: instead of the right one.
  func url(password: String? = nil) -> String {
    let account = setup.password.map { "gate:\(password ?? $0)@" } ?? ""
    return "\(setup.identity == nil ? "redis" : "rediss")://\(account)127.0.0.1:\(port)"
  }

  private var options: [String] {
    var options = setup.identity == nil ? ["--port", "\(port)"] : ["--port", "0", "--tls-port", "\(port)"]
    if let identity = setup.identity {
      options += ["--tls-cert-file", identity.certificate, "--tls-key-file", identity.key]
      options += ["--tls-auth-clients", "no", "--tls-ca-cert-file", identity.certificate]
    }
    if let password = setup.password {
      options += ["--requirepass", password, "--user", "gate", "on", ">\(password)", "~*", "&*", "+@all"]
    }
    return options
  }

  /// Starts it, with everything that it had.
  func restart() async throws {
    let arguments =
      [
        "redis-server", "--bind", "127.0.0.1", "--dir", directory.path, "--save", "",
        "--appendonly", setup.isForgetful ? "no" : "yes", "--appendfsync", "always", "--logfile", directory["log"],
      ] + options + setup.options
    try child.withLock { $0 = try ChildProcess(arguments) }
    let isReady = try await eventually(within: .seconds(20)) {
      if child.withLock({ $0?.wait(timeout: .milliseconds(1)) }) != nil {
        throw SupportError("redis-server did not start: \(directory.text("log") ?? "")")
      }
      // Somebody else's may be there, whose port is the same.
      let pid = child.withLock { $0?.pid } ?? 0
      return try cli("info", "server").split(whereSeparator: \.isNewline).contains("process_id:\(pid)")
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

  func signal(_ signal: Int32) { child.withLock { $0?.signal(signal) } }

  @discardableResult
  func cli(_ arguments: String...) throws -> String {
    var words = ["redis-cli", "-p", "\(port)"]
    if let password = setup.password { words += ["--no-auth-warning", "-a", password] }
    if setup.identity != nil { words += ["--tls", "--insecure"] }
    let cli = try ChildProcess(words + arguments)
    cli.closeInput()
    var lines: [String] = []
    while let line = cli.readLine(timeout: .seconds(60)) { lines.append(line) }
    _ = cli.wait(timeout: .seconds(5))
    return lines.joined(separator: "\n")
  }
}
