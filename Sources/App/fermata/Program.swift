import CBuild
import Gateway
import Glibc
import JSON

/// Finds the verb and runs it.
enum Program {
  static let version = "0.1.0"
  static let build = BuildInfo(version: version, commit: unsafe String(cString: fermata_commit()))

  /// The program as its caller named it, for commands to copy.
  static var invocation: String { CommandLine.arguments.first ?? "fermata" }

  static func run(_ arguments: [String]) -> Int32 {
    guard let name = arguments.first else {
      Terminal.error(overview)
      return ExitStatus.usage
    }
    switch name {
    case "--help", "-h", "help":
      Terminal.print(overview)
      return ExitStatus.success
    case "--version", "version":
      let libevent = LibeventRelease.installed
      Terminal.print(
        "fermata \(version) (libevent \(libevent.description), OpenSSL \(build.openssl), commit \(build.commit))")
      if let warning = libevent.warning { Terminal.error("fermata: warning: \(warning)") }
      return ExitStatus.success
    default: break
    }
    guard let verb = Verb.all.first(where: { $0.name == name }) else {
      let hint = Spelling.nearest(to: name, among: Verb.all.map(\.name)).map { "; did you mean \"\($0)\"?" } ?? ""
      Terminal.error("fermata: there is no verb \"\(name)\"\(hint); \"fermata --help\" lists them")
      return ExitStatus.usage
    }
    let rest = Array(arguments.dropFirst())
    if verb.answersHelp, rest.contains("--help") || rest.contains("-h") {
      Terminal.print(verb.help)
      return ExitStatus.success
    }
    return verb.run(rest)
  }

  private static var overview: String {
    let verbs = Verb.all.filter { !$0.isHidden }
    let width = verbs.map(\.name.count).max() ?? 0
    let lines = verbs.map { verb in
      "  \(verb.name)\(String(repeating: " ", count: width - verb.name.count + 2))\(verb.summary)"
    }
    return """
      fermata: a gateway for Server-Sent Event streams that delivers the last event.

      usage: fermata VERB [OPTION …]

      \(lines.joined(separator: "\n"))

      "fermata VERB --help" tells more. "fermata demo" shows what it does and needs nothing.
      """
  }
}

/// One thing that the program can be asked to do.
struct Verb: Sendable {
  let name: String
  let summary: String
  let help: String
  /// What `run` takes, for completions: options and switches, with their dashes.
  var options: Set<String> = []
  /// For the program's own use: not listed.
  var isHidden = false
  /// Whether `--help` is answered with `help` before `run` is asked: not for verbs with verbs of their own.
  var answersHelp = true
  let run: @Sendable ([String]) -> Int32

  static let all: [Verb] = [
    .serve, .check, .flags, .health, .top, .demo, .tail, .bench, .matrix, .completions, .backend, .floor, .load,
  ]
}

/// Output to people and scripts.
enum Terminal {
  static func print(_ text: String) {
    write(text + "\n", to: STDOUT_FILENO)
  }

  /// Without a line's end, for who draws.
  static func draw(_ text: String) { write(text, to: STDOUT_FILENO) }

  static func error(_ text: String) {
    write(text + "\n", to: STDERR_FILENO)
  }

  private static func write(_ text: String, to descriptor: Int32) {
    let bytes = Array(text.utf8)
    var written = 0
    while written < bytes.count {
      let count = unsafe bytes.withUnsafeBytes {
        unsafe Glibc.write(descriptor, $0.baseAddress.unsafelyUnwrapped + written, bytes.count - written)
      }
      if count > 0 { written += count } else if errno != EINTR { return }
    }
  }
}
