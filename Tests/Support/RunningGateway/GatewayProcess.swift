import Glibc
package import Harness
package import JSON
package import Loop
package import Processes
import Synchronization
package import Time

/// What went wrong around a test rather than in it: a program that does not start, or does not end well.
package struct SupportError: Error, CustomStringConvertible {
  package let description: String

  package init(_ description: String) { self.description = description }
}

/// The program `fermata`.
package enum Program {
  /// Where SwiftPM puts what is built beside the tests: with the running test bundle.
  package static let folder = FilePath.directory(of: (try? FilePath.resolved("/proc/self/exe")) ?? "")
  /// As it was built beside the tests, unless `FERMATA_PROGRAM` names another build of it.
  package static let path = Host.environment["FERMATA_PROGRAM"] ?? folder + "/fermata"

  /// What a run of the program printed and how it ended.
  package struct Run: Sendable {
    package let output: String
    package let errors: String
    package let exit: ChildProcess.Exit?
  }

  /// Runs the program to its end.
  package static func run(
    _ arguments: [String], environment: [String: String] = [:], timeout: Nanoseconds = .seconds(30)
  ) throws -> Run {
    let directory = try ScratchDirectory()
    let errorFile = directory["stderr"]
    let child = try ChildProcess([path] + arguments, environment: environment, errorFile: errorFile)
    child.closeInput()
    var lines: [String] = []
    while let line = child.readLine(timeout: timeout) { lines.append(line) }
    let exit = child.wait(timeout: timeout)
    return Run(output: lines.joined(separator: "\n"), errors: directory.text("stderr") ?? "", exit: exit)
  }
}

/// A running `fermata serve` and what can be asked of it.
package final class GatewayProcess: Sendable {
  package let address: SocketAddress
  package let admin: SocketAddress
  package let pid: Int32
  private let child: Mutex<ChildProcess>
  private let directory: ScratchDirectory
  private let clients: ClientLoop

  private init(
    address: SocketAddress, admin: SocketAddress, child: sending ChildProcess, directory: ScratchDirectory,
    clients: ClientLoop
  ) {
    self.address = address
    self.admin = admin
    pid = child.pid
    self.child = Mutex(child)
    self.directory = directory
    self.clients = clients
  }

  deinit {
    // A build with a sanitizer says as it ends what it has lost. The second signal ends what a drain would wait for.
    guard Host.environment["ASAN_OPTIONS"] != nil else { return }
    child.withLock { child in
      child.signal(SIGTERM)
      SystemClock.sleep(.milliseconds(100))
      _ = child.stop(grace: .seconds(5))
    }
  }

  /// Starts the program on free ports and waits until it says that it accepts connections.
  ///
  /// - Parameters:
  ///   - arguments: of `fermata serve`, beyond the listeners.
  ///   - descriptors: how many it may open; `nil`: as many as this process.
  package static func start(
    _ arguments: [String], environment: [String: String] = [:], listen: String = "127.0.0.1:0",
    admin adminAddress: String = "127.0.0.1:0", descriptors: Int? = nil, clients: ClientLoop
  ) async throws -> GatewayProcess {
    MachineDelay.watch()
    let directory = try ScratchDirectory()
    let limit = descriptors.map { ["sh", "-c", "ulimit -n \($0); exec \"$0\" \"$@\""] } ?? []
    let words = limit + [Program.path, "serve", "--listen", listen, "--admin", adminAddress] + arguments
    // Hundreds of processes would leave hundreds of coverage profiles.
    var variables = ["FERMATA_WORKERS": "2", "FERMATA_DRAIN": "3s", "LLVM_PROFILE_FILE": "/dev/null"]
    variables.merge(environment) { _, new in new }
    let child = try ChildProcess(words, environment: variables, errorFile: directory["log"])
    let deadline = SystemClock.now + .seconds(60)
    while SystemClock.now < deadline {
      if let line = Self.lines(directory.text("log")).first(where: { $0["event"]?.string == "started" }),
        let address = line["listen"]?.string.flatMap(Self.address),
        let admin = line["admin"]?.string.flatMap(SocketAddress.init(parsing:))
      {
        return GatewayProcess(address: address, admin: admin, child: child, directory: directory, clients: clients)
      }
      if let exit = child.wait(timeout: .milliseconds(1)) {
        throw SupportError("fermata serve ended at once with \(exit): \(directory.text("log") ?? "")")
      }
      try await Task.sleep(for: .milliseconds(5))
    }
    throw SupportError("fermata serve did not start in time: \(directory.text("log") ?? "")")
  }

  /// An address as the log writes it.
  package static func address(_ text: String) -> SocketAddress? {
    text.hasPrefix("unix:") ? SocketAddress(unix: String(text.dropFirst(5))) : SocketAddress(parsing: text)
  }

  /// The log so far, one object a line.
  package var log: [JSONValue] { Self.lines(directory.text("log")) }

  /// The whole log as it is, for messages.
  package var logText: String { directory.text("log") ?? "" }

  /// The log lines of one event.
  package func log(_ event: String) -> [JSONValue] { log.filter { $0["event"]?.string == event } }

  /// The outcomes of the streams that have ended, in the order of the log.
  package var outcomes: [String] { log("request_done").compactMap { $0["outcome"]?.string } }

  /// The attempts without a good response of all requests that are over, in the order of the log.
  package var failedAttempts: [JSONValue] { log("request_done").flatMap { $0["attempts"]?.array ?? [] } }

  private static func lines(_ text: String?) -> [JSONValue] {
    (text ?? "").split(separator: "\n").compactMap { try? JSONValue(parsing: String($0)) }
  }

  // MARK: Signals and the end

  package func signal(_ signal: Int32) { child.withLock { $0.signal(signal) } }

  /// How the process ended; `nil` when it has not done so in `timeout`.
  package func exit(within timeout: Nanoseconds) async -> ChildProcess.Exit? {
    let deadline = SystemClock.now + timeout
    while true {
      if let exit = child.withLock({ $0.wait(timeout: .zero) }) { return exit }
      if SystemClock.now >= deadline { return nil }
      try? await Task.sleep(for: .milliseconds(5))
    }
  }

  package var isRunning: Bool { child.withLock { $0.wait(timeout: .zero) } == nil }

  /// What the process uses now.
  package func usage() throws -> ProcessUsage { try ProcessMeter.read(pid) }

  // MARK: The operators' side

  package func ask(_ path: String, fields: [Script.Field] = [], method: String = "GET") async -> ClientResult {
    await clients.fetch(ClientRequest(method, path, fields: fields), from: admin, behaviour: .plain)
  }

  package func json(_ path: String) async throws -> JSONValue {
    let result = await ask(path)
    guard result.status == 200 else { throw SupportError("\(path) answered \(result.status) \(result.end)") }
    return try JSONValue(parsing: result.body)
  }

  package func metrics() async throws -> MetricsText {
    let result = await ask("/metrics")
    guard result.status == 200 else { throw SupportError("/metrics answered \(result.status) \(result.end)") }
    return try MetricsText(parsing: result.text)
  }

  /// The value of one sample, 0 when it is absent, not a number when there are no metrics.
  package func metric(_ name: String, _ labels: [String: String] = [:]) async -> Double {
    (try? await metrics())?.value(name, labels) ?? .nan
  }
}
