import Harness
import Matrix
import Processes
import Streams
import Testing
import Time

/// The built program, run to its end.
enum MatrixRun {
  static let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3)
    .joined(separator: "/")

  /// It stands beside the test bundle.
  static let path: String = {
    let bundle = CommandLine.arguments.first { $0.hasSuffix(".xctest") || $0.contains(".xctest/") }
    return
      (bundle.map { $0.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/") }
      ?? "\(root)/.build/debug") + "/fermata"
  }()

  /// - Returns: the lines that `fermata matrix` printed, and its exit status.
  static func run(_ arguments: [String]) throws -> (exit: ChildProcess.Exit?, text: String) {
    let child = try ChildProcess(
      [path, "matrix", "--clients", "\(root)/Tests/Matrix"] + arguments, errorFile: "/dev/null")
    child.closeInput()
    var lines: [String] = []
    while let line = child.readLine(timeout: .seconds(60)) { lines.append(line) }
    return (child.wait(timeout: .seconds(10)), lines.joined(separator: "\n"))
  }
}

/// Witnesses of one cell as they are when all is well, for tests that change one of them.
struct PlayedCell {
  let judge: Judge
  var client: ClientWitness
  var backend: BackendWitness
  var gateway: GatewayWitness

  /// - Parameter client: of which dialect and view; the client sees the whole truth.
  init(
    _ id: String, _ mode: Mode = .graceful, client: MatrixClient = MatrixClient(adapter: "it", command: ["it"]),
    over transport: MatrixTransport = .direct
  ) throws {
    let behaviour = try #require(Behaviour.named(id))
    judge = Judge(client: client, variant: mode, behaviour: behaviour, over: transport)
    var seen = ClientWitness(end: .closed)
    seen.events = judge.truth
    let outcome = behaviour.outcome?.rawValue ?? "completed"
    if judge.mode == .graceful {
      seen.events = judge.truth.enumerated().map { index, event in
        ReceivedEvent(type: event.type, data: event.data, id: "S.\(index + 1)")
      }
      seen.events.append(
        ReceivedEvent(
          type: "stream_end", data: #"{"type":"stream_end","source":"gateway","outcome":"\#(outcome)"}"#, id: "S.9"))
    }
    self.client = seen
    backend = BackendWitness(requests: behaviour.requests)
    var stream = GatewayWitness.Stream(id: "S", mode: judge.mode.rawValue)
    stream.outcome = outcome
    stream.events = judge.truth.count
    stream.wire = transport.wire
    gateway = GatewayWitness(streams: [stream])
  }

  var finding: Finding { judge.judge(client: client, backend: backend, gateway: gateway) }
}
