import Files
import JSON
import Processes
import Testing
import Time

/// One after another: these tests start programs, wait for them with blocking calls, and measure time.
@Suite(.serialized) enum `fermata flags` {}

/// A directory with the flag file that ships, and the program to run over it.
final class Workbench {
  let directory: TemporaryDirectory
  let file: String

  init() throws {
    directory = try TemporaryDirectory(prefix: "flags")
    let shipped = try readFile(Self.root + "/flags/stream-closing.flagd.json", limit: 1 << 20).bytes
    file = directory.path + "/flags.json"
    try AtomicFile.replace(file, with: shipped)
  }

  deinit { directory.remove() }

  static let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")

  /// The program stands beside the test bundle.
  static let program: String = {
    let bundle = CommandLine.arguments.first { $0.hasSuffix(".xctest") || $0.contains(".xctest/") }
    let folder = bundle.map { FilePath.directory(of: String($0.prefix { _ in true })) } ?? "\(root)/.build/debug"
    return "\(folder)/fermata"
  }()

  struct Answer {
    var exit: Int32
    var lines: [String]

    var text: String { lines.joined(separator: "\n") }
    var json: JSONValue { (try? JSONValue(parsing: text)) ?? .null }
    var data: JSONValue { json["data"] ?? .null }
    var code: String? { json["error"]?["code"]?.string }
  }

  func start(_ arguments: [String]) throws -> ChildProcess {
    // Some are killed wherever they are: half a coverage profile would spoil all others.
    let environment = ["FERMATA_FLAGS_FILE": file, "USER": "ann", "LLVM_PROFILE_FILE": "/dev/null"]
    let child = try ChildProcess(
      [Self.program, "flags"] + arguments, environment: environment, errorFile: "/dev/null")
    child.closeInput()
    return child
  }

  func run(_ arguments: String...) throws -> Answer { try run(arguments) }

  func run(_ arguments: [String]) throws -> Answer { try Self.finish(try start(arguments)) }

  /// Changes come from scripts here: with a reason, and answered in JSON.
  func change(_ arguments: String...) throws -> Answer { try run(arguments + ["--json", "--reason", "test"]) }

  static func finish(_ child: ChildProcess) throws -> Answer {
    var lines: [String] = []
    while let line = child.readLine(timeout: .seconds(60)) { lines.append(line) }
    guard case .code(let code)? = child.wait(timeout: .seconds(5)) else {
      Issue.record("the program did not end by itself")
      return Answer(exit: -1, lines: lines)
    }
    return Answer(exit: code, lines: lines)
  }

  func document() throws -> JSONValue { try JSONValue(parsing: try readFile(file, limit: 1 << 20).bytes) }

  func write(_ name: String, _ text: String) throws -> String { try directory.write(name, text) }
}
