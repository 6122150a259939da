/// The statuses that the program ends with. `table` is where they are told; help texts and documentation repeat it.
enum ExitStatus {
  static let success: Int32 = 0
  static let failure: Int32 = 1
  /// The command line is wrong.
  static let usage: Int32 = 2
  /// A configuration or flag file is wrong.
  static let invalidFile: Int32 = 3

  /// What a status means, of one verb.
  struct Row: Sendable {
    let verb: String
    let status: Int32
    let meaning: String

    init(_ verb: String, _ status: Int32, _ meaning: String) {
      self.verb = verb
      self.status = status
      self.meaning = meaning
    }
  }

  static let table: [Row] = [
    Row("serve", success, "ended by a signal, after a drain"),
    Row("serve", failure, "could not start: a port is in use, a descriptor or a thread is missing"),
    Row("serve", usage, "the command line is wrong"),
    Row("serve", invalidFile, "the configuration or a file that it names is wrong"),
    Row("check", success, "\"fermata serve\" would take it; there may be warnings"),
    Row("check", failure, "the process may open too few descriptors to serve"),
    Row("check", usage, "the command line is wrong"),
    Row("check", invalidFile, "the configuration or a file that it names is wrong"),
    Row("health", success, "the gateway is alive; with --ready: it takes clients"),
    Row("health", failure, "it is not, or it does not answer"),
    Row("health", usage, "the command line is wrong"),
    Row("top", success, "ended by a key, by a signal or after --once"),
    Row("top", failure, "the gateway does not answer, or asks for a token"),
    Row("top", usage, "the command line is wrong"),
    Row("completions", success, "the script is printed"),
    Row("completions", usage, "the command line is wrong"),
    Row("demo", success, "all that it shows is as promised"),
    Row("demo", failure, "something is not as promised, or it could not start"),
    Row("demo", usage, "the command line is wrong"),
    Row("bench", success, "all was measured and no stream failed"),
    Row("bench", failure, "something could not be measured, or a stream failed"),
    Row("bench", usage, "the command line is wrong"),
    Row("matrix", success, "every cell is as expected; with --race or --load: nothing was lost and nothing left open"),
    Row(
      "matrix", failure,
      "a cell, or a stream, is not as expected, or one can't be played; with --strict: a client is missing"),
    Row("matrix", usage, "the command line is wrong"),
    Row("tail", success, "the server said \"completed\", and all that it counted has come"),
    Row("tail", failure, "there was no stream: no connection, or an answer that is no event stream"),
    Row("tail", usage, "the command line is wrong"),
    Row("tail", 4, "the stream ended and the server said how, but it was not \"completed\""),
    Row("tail", 5, "something is missing: a cut without stream_end, or fewer events than it counts"),
    Row("tail", 6, "nothing can be checked: no stream_end came, or the client began behind an id of unknown number"),
    Row("flags", FlagsExit.success.rawValue, "done"),
    Row("flags", FlagsExit.internal.rawValue, "internal error"),
    Row("flags", FlagsExit.usage.rawValue, "the command line is wrong"),
    Row("flags", FlagsExit.invalidFile.rawValue, "the flag file is wrong"),
    Row("flags", FlagsExit.conflict.rawValue, "somebody else was first: another revision, or a lock"),
    Row("flags", FlagsExit.notFound.rawValue, "there is no such flag or rollout"),
    Row("flags", FlagsExit.refused.rawValue, "refused by the state of the rollout or by the guard"),
    Row("flags", FlagsExit.inputOutput.rawValue, "a file could not be read or written, or a gateway not be asked"),
    Row("flags", FlagsExit.timeout.rawValue, "the time was up"),
    Row("flags", FlagsExit.regression.rawValue, "the new variant is worse"),
    Row("flags", FlagsExit.testFalse.rawValue, "\"eval --test\": the value is false"),
  ]

  /// The rows of `verb`, for its help.
  static func help(of verb: String) -> String {
    let lines = table.filter { $0.verb == verb }.map { "  \($0.status)  \($0.meaning)" }
    return "Exit status:\n" + lines.joined(separator: "\n")
  }
}
