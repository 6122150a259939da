import Glibc
import JSON
import Processes
import RunningGateway
import Time

/// The programs of others that the tests need.
enum Tool {
  private static let root = String(#filePath.prefix(#filePath.count - "/Tests/RealClientsTests/Tool.swift".count))

  static let curl = find("curl", advice: "apt-get install curl")
  static let python = environment("venv", variable: "FERMATA_VENV", requirements: "requirements.txt")
  static let flagdV2 = environment("venv-v2", variable: "FERMATA_VENV_V2", requirements: "requirements-flagd-v2.txt")
  static let flagdV3 = environment("venv-v3", variable: "FERMATA_VENV_V3", requirements: "requirements-flagd-v3.txt")

  /// Whether the tests that need `paths` run; on a build server they do, and fail without them.
  static func arePresent(_ paths: String?...) -> Bool {
    !paths.contains(nil) || Host.environment["CI"] == "true"
  }

  static func file(_ path: String) -> String { "\(root)/Tests/\(path)" }

  private static func find(_ name: String, advice: String) -> String? {
    let folders = (Host.environment["PATH"] ?? "").split(separator: ":")
    if let folder = folders.first(where: { access("\($0)/\(name)", X_OK) == 0 }) { return "\(folder)/\(name)" }
    return missing(name, advice)
  }

  /// The interpreter of a virtual environment that `.ci/test` makes.
  private static func environment(_ name: String, variable: String, requirements: String) -> String? {
    let folder = Host.environment[variable] ?? "\(root)/.build/\(name)"
    if access("\(folder)/bin/python", X_OK) == 0 { return "\(folder)/bin/python" }
    return missing(
      folder, "python3 -m venv \(folder) && \(folder)/bin/pip install -r \(file("RealClients/\(requirements)"))")
  }

  private static func missing(_ what: String, _ advice: String) -> String? {
    let line = Array("*** \(what) is missing: the tests that need it do NOT run. To get it: \(advice) ***\n".utf8)
    _ = line.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
    return nil
  }

  /// What a program printed and how it ended; no exit when it was not done in time.
  struct Run {
    let output: String
    let errors: String
    let exit: ChildProcess.Exit?
  }

  /// Runs a program to its end without keeping a thread of the tests.
  static func run(_ arguments: [String], timeout: Nanoseconds = .seconds(120)) async throws -> Run {
    let directory = try ScratchDirectory()
    // Nothing here leaves the machine: a proxy of the surroundings has no part in it.
    let child = try ChildProcess(
      arguments, environment: ["NO_PROXY": "*", "no_proxy": "*"], errorFile: directory["stderr"])
    child.closeInput()
    let deadline = SystemClock.now + timeout
    var exit: ChildProcess.Exit?
    while exit == nil, SystemClock.now < deadline {
      exit = child.wait(timeout: .zero)
      if exit == nil { try await Task.sleep(for: .milliseconds(10)) }
    }
    // What the programs print fits into a pipe.
    var lines: [String] = []
    while exit != nil, let line = child.readLine(timeout: .seconds(1)) { lines.append(line) }
    return Run(output: lines.joined(separator: "\n"), errors: directory.text("stderr") ?? "", exit: exit)
  }

  /// What the script of `Tests/RealClients` reports.
  static func report(_ script: String, _ arguments: [String]) async throws -> JSONValue {
    guard let python else { throw SupportError("the clients' virtual environment is missing: run .ci/test") }
    let run = try await run([python, file("RealClients/\(script)")] + arguments)
    guard run.exit == .code(0) else {
      throw SupportError("\(script) ended with \(run.exit.map { "\($0)" } ?? "nothing"): \(run.errors)")
    }
    return try JSONValue(parsing: run.output)
  }
}
