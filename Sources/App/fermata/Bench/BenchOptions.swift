import Glibc
import Loop

/// The command line of `fermata bench`.
struct BenchOptions {
  var scenarios = BenchScenario.allCases.filter { $0.carrier == .plain }
  var subjects = BenchSubject.allCases
  var seconds: Int?
  var streams: Int?
  var rounds = 3
  /// Another build of Fermata to measure too.
  var before: String?
  var isQuick = false
  var asJSON = false

  static let help = """
    usage: fermata bench [OPTION …]
           fermata bench flags [--json]      what the evaluation of a flag costs

    Measures this program beside nginx and haproxy, where they are installed, a direct connection, and the floor: a relay
    that knows only epoll, recv and send. One worker each, the same backend and the same clients, all on this machine.
    Processor time is the server's alone, as /proc has it.
    The last four subjects are this program: in legacy, in graceful, and in graceful with each run kept, in memory or in
    a redis-server that is started for it.

      --scenario NAME,…    paced, burst, churn, idle, https, and with clients over TLS or HTTP/2:
                           https-client, h2, h2-10, h2-100 (streams on a connection), https-idle,
                           h2-idle; default: the first five
      --subject NAME,…     direct, floor, nginx, haproxy, legacy, graceful, resumable, resumable-redis; default: all
      --seconds N          how long each run is measured; default: 10, burst and churn 5
      --streams N          streams at once; default: 500, burst and churn 50, idle 8000
      --repeat N           rounds; every figure is the median of them; default: 3
      --before PROGRAM     measure another build of fermata too, with the same backend and clients
      --quick              one round of 2 s with fewer streams: a first impression
      --json               for programs, all runs included

    \(ExitStatus.help(of: "bench"))
    """

  init(_ arguments: [String]) throws(Arguments.Mistake) {
    let parsed = try Arguments(
      arguments, options: ["--scenario", "--subject", "--seconds", "--streams", "--repeat", "--before"],
      switches: ["--quick", "--json"])
    if let list = parsed["--scenario"] { scenarios = try Self.names(list, BenchScenario.allCases) }
    if let list = parsed["--subject"] { subjects = try Self.names(list, BenchSubject.allCases) }
    isQuick = parsed.has("--quick")
    asJSON = parsed.has("--json")
    seconds = try Self.number(parsed, "--seconds", 1...3600)
    streams = try Self.number(parsed, "--streams", 1...50_000)
    if let program = parsed["--before"] {
      guard unsafe access(program, X_OK) == 0 else {
        throw Arguments.Mistake(message: "--before: \(program) can't be run: \(SystemError.last)")
      }
      before = program
    }
    rounds = try Self.number(parsed, "--repeat", 1...100) ?? (isQuick ? 1 : rounds)
  }

  func seconds(_ scenario: BenchScenario) -> Int {
    seconds ?? (isQuick ? 2 : scenario.defaultSeconds)
  }

  func streams(_ scenario: BenchScenario) -> Int {
    streams ?? (isQuick ? min(1000, scenario.defaultStreams) : scenario.defaultStreams)
  }

  private static func names<Name: RawRepresentable>(
    _ list: String, _ all: [Name]
  ) throws(Arguments.Mistake) -> [Name] where Name.RawValue == String {
    var result: [Name] = []
    for word in list.split(separator: ",") {
      guard let name = Name(rawValue: String(word)) else {
        throw Arguments.Mistake(message: "\(word) is none of \(all.map(\.rawValue).joined(separator: ", "))")
      }
      result.append(name)
    }
    return result
  }

  private static func number(
    _ parsed: Arguments, _ option: String, _ range: ClosedRange<Int>
  ) throws(Arguments.Mistake) -> Int? {
    guard let text = parsed[option] else { return nil }
    guard let number = Int(text), range.contains(number) else {
      throw Arguments.Mistake(message: "\(option) wants a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }
}
