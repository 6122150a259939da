import Files
import Harness
import Processes
import Testing
import Time

/// The built program, run to its end.
enum Program {
  struct Answer {
    let exit: Int32
    let lines: [String]

    var text: String { lines.joined(separator: "\n") }
  }

  private static let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3)
    .joined(separator: "/")

  /// It stands beside the test bundle.
  private static let path: String = {
    let bundle = CommandLine.arguments.first { $0.hasSuffix(".xctest") || $0.contains(".xctest/") }
    return (bundle.map { FilePath.directory(of: $0) } ?? "\(root)/.build/debug") + "/fermata"
  }()

  /// - Returns: what it wrote to standard output, and its exit status.
  static func run(_ arguments: String...) throws -> Answer { try run(arguments) }

  static func run(_ arguments: [String]) throws -> Answer {
    let child = try ChildProcess([path] + arguments, errorFile: "/dev/null")
    child.closeInput()
    var lines: [String] = []
    while let line = child.readLine(timeout: .seconds(60)) { lines.append(line) }
    guard case .code(let code)? = child.wait(timeout: .seconds(5)) else {
      Issue.record("the program did not end by itself")
      return Answer(exit: -1, lines: lines)
    }
    return Answer(exit: code, lines: lines)
  }
}

extension Script {
  /// The head of a stream as a gateway in graceful mode writes it.
  ///
  /// - Parameter isKept: whether it says where the stream can be resumed.
  static func gracefulHead(stream: String, isKept: Bool = true) -> Head {
    var fields = [
      Field("Content-Type", "text/event-stream"), Field("X-Stream-Id", stream), Field("X-Stream-Mode", "graceful"),
    ]
    if isKept { fields.append(Field("X-Stream-Resume", "/kept/\(stream)")) }
    return Head(fields: fields)
  }

  static func streamEnd(
    _ outcome: String, events: Int, last: String, resumable: Bool = false
  ) -> Step {
    .event(
      "stream_end",
      #"{"type":"stream_end","outcome":"\#(outcome)","reason":"because","events":\#(events),"#
        + #""lastEventId":"\#(last)","resumable":\#(resumable)}"#)
  }
}
