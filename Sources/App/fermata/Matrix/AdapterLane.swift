import JSON
import Processes
import Time

/// What came of asking a client's program.
enum AdapterAnswer: Sendable {
  case answer(JSONValue)
  /// It has no such ability.
  case unsupported
  /// It is not installed.
  case missing(String)
  /// It broke the rules of adapters; says how.
  case broken(String)
}

/// The program of one client. One process answers all jobs, several at a time, or one job each.
actor AdapterLane {
  /// How a program of ours says that its client is not installed (EX_UNAVAILABLE of sysexits.h).
  private static let unavailable: Int32 = 69
  /// How a program says that its client has no such ability.
  private static let unsupported: Int32 = 127
  /// Between two looks at what programs have written.
  private static let interval = Duration.milliseconds(10)

  private let command: [String]
  private let isShared: Bool
  private let surroundings: [String: String]
  private let errorFile: String
  private var process: SharedChild?
  private var next = 0
  private var answers: [Int: JSONValue] = [:]
  private var hasAnswered = false
  private var end: AdapterAnswer?

  init(command: [String], isShared: Bool, surroundings: [String: String], errorFile: String) {
    (self.command, self.isShared, self.surroundings, self.errorFile) = (command, isShared, surroundings, errorFile)
  }

  /// - Parameter limit: how long an answer may take.
  func ask(_ job: JSONObject, within limit: Nanoseconds) async -> AdapterAnswer {
    isShared ? await askShared(job, within: limit) : await askOnce(job, within: limit)
  }

  func stop() {
    process?.closeInput()
    process?.stop()
    process = nil
  }

  private func start() -> SharedChild? { try? SharedChild(command, surroundings: surroundings, errorFile: errorFile) }

  // MARK: - One process for all jobs

  private func askShared(_ job: JSONObject, within limit: Nanoseconds) async -> AdapterAnswer {
    if let end { return end }
    if process == nil { process = start() }
    guard let process else { return .missing("\(command.first ?? "") can't be started") }
    next += 1
    let id = next
    var job = job
    job["id"] = JSONValue(id)
    guard process.write(JSONValue.object(job).text()) else { return ended(process) }
    let deadline = SystemClock.now + limit
    while SystemClock.now < deadline {
      while let line = process.line() { take(line) }
      if let answer = answers.removeValue(forKey: id) {
        if let what = answer["missing"]?.string { return .missing(what) }
        return answer["unsupported"]?.bool == true ? .unsupported : .answer(answer)
      }
      if process.exit() != nil { return ended(process) }
      try? await Task.sleep(for: Self.interval)
    }
    let answer = AdapterAnswer.broken("no answer in \(limit.seconds) s")
    // It never came up: all others would wait as long, for nothing.
    if !hasAnswered { end = answer }
    return answer
  }

  private func take(_ line: String) {
    guard let value = try? JSONValue(parsing: line), let id = value["id"]?.integer else { return }
    answers[id] = value
    hasAnswered = true
  }

  private func ended(_ process: SharedChild) -> AdapterAnswer {
    let exit = process.exit()
    let answer = Self.meaning(of: exit) ?? .broken("the program ended with \(exit.map { "\($0)" } ?? "no status")")
    end = answer
    return answer
  }

  private static func meaning(of exit: ChildProcess.Exit?) -> AdapterAnswer? {
    switch exit {
    case .code(unavailable): .missing("the client is not installed")
    case .code(unsupported): .unsupported
    default: nil
    }
  }

  // MARK: - A process for each job

  private func askOnce(_ job: JSONObject, within limit: Nanoseconds) async -> AdapterAnswer {
    guard let process = start() else { return .missing("\(command.first ?? "") can't be started") }
    defer { process.stop() }
    guard process.write(JSONValue.object(job).text()) else { return .broken("the program does not read its job") }
    process.closeInput()
    let deadline = SystemClock.now + limit
    while SystemClock.now < deadline {
      if let line = process.line() {
        guard let value = try? JSONValue(parsing: line) else { return .broken("wrote no JSON: \(line.prefix(100))") }
        return .answer(value)
      }
      if let exit = process.exit() {
        // What it wrote before it ended may have come between the two looks.
        if let line = process.line(), let value = try? JSONValue(parsing: line) { return .answer(value) }
        return Self.meaning(of: exit) ?? .broken("the program ended with \(exit) and wrote nothing")
      }
      try? await Task.sleep(for: Self.interval)
    }
    return .broken("no answer in \(limit.seconds) s")
  }
}
