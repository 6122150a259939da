import Files
import Flags
import JSON
import Loop
import Telemetry
import Time

/// Runs the guard: gathers what the workers counted, looks at it, and tells them when it takes the new closing back.
///
/// Lives on the main loop. It never writes the flag file; what must survive a restart goes into a small file beside it.
final class GuardKeeper {
  /// What a worker answers.
  struct Answer: Sendable {
    var counts: CohortCounts
    var sightings: [Sighting]
  }

  private(set) var machine: GuardMachine
  /// What all workers have counted, and what they had when the flag file changed.
  private var latest = CohortCounts()
  private var phaseStart = CohortCounts()
  private(set) var trips = 0
  /// One comparison's metric and verdict.
  struct Check: Hashable, Comparable {
    let metric: String
    let verdict: String

    static func < (left: Check, right: Check) -> Bool {
      (left.metric, left.verdict) < (right.metric, right.verdict)
    }
  }

  private(set) var checks: [Check: Int] = [:]
  /// Told when `isRollingBack` changes.
  var onChange: (Bool) -> Void = { _ in }

  private var retries = CohortCounts()
  private var finder = RetryFinder()
  private var lastLook: MonotonicTime
  private var hash = ""
  private let stateFile: String?
  private let configured: GuardPolicy
  private let loop: EventLoop
  private let log: WorkerLog
  private let reserve: DescriptorReserve
  /// Whether the file has what must survive a restart.
  private var isSaved = true

  init(settings: FlagSettings, loop: EventLoop, log: WorkerLog, reserve: DescriptorReserve) {
    self.reserve = reserve
    self.loop = loop
    self.log = log
    configured = settings.guardPolicy
    machine = GuardMachine(policy: settings.guardPolicy)
    stateFile = settings.guardState ?? settings.file.map { $0 + ".guard" }
    lastLook = loop.readClock()
    guard let stateFile, let bytes = try? readFile(stateFile, limit: 1 << 16).bytes,
      let saved = try? JSONValue(parsing: bytes)
    else { return }
    machine.restore(saved)
    if let latch = machine.latch { report(latch, event: "guard_restored") }
  }

  /// Whether everybody gets the old closing, whatever the file says.
  var isRollingBack: Bool { machine.effect == .rollback }

  /// How often the workers are asked: often enough to see who comes back, and to act when a look is due.
  var gatherInterval: Nanoseconds { min(.seconds(1), machine.policy.interval) }

  /// Another flag file is in force.
  func flagsChanged(_ flags: FlagSet) {
    let key = FlagKey.streamClosing.description
    let rollout = try? Rollout(of: key, in: flags.document)
    let acknowledged = rollout?.acknowledged ?? ""
    // The phase says what happens when it goes badly; without a rollout the configuration does.
    machine.policy.onRegress = rollout?.phase.onRegress ?? configured.onRegress
    if flags.hash != hash { phaseStart = latest }
    hash = flags.hash
    let wasRollingBack = isRollingBack
    guard
      let transition = machine.fileChanged(
        revision: flags.name, hash: flags.hash, acknowledged: acknowledged)
    else { return }
    apply([transition], wasRollingBack: wasRollingBack)
  }

  /// Takes in the workers' answers, and looks when it is time.
  func take(_ answers: [Answer]) {
    var all = CohortCounts()
    for answer in answers { all.add(answer.counts) }
    finder.take(answers.flatMap(\.sightings), into: &retries)
    all.add(retries)
    latest = all
    if !isSaved { save() }
    let now = loop.readClock()
    guard now - lastLook >= machine.policy.interval else { return }
    lastLook = now
    let wasRollingBack = isRollingBack
    let transitions = machine.look(treated: all.treated, control: all.control, at: loop.wallTime())
    for report in machine.reports {
      checks[Check(metric: report.metric.rawValue, verdict: report.verdict.rawValue), default: 0] += 1
    }
    apply(transitions, wasRollingBack: wasRollingBack)
  }

  /// The process is draining: what ends from now on is not judged, and nothing is taken back or saved.
  func rest() { machine.rest() }

  /// For `/flags`: the machine's report, and who is not judged.
  var report: JSONValue {
    var report = machine.report
    let internalCompleted = latest.internalCompleted - phaseStart.internalCompleted
    report[path: ["phase", "internalCompleted"]] = JSONValue(internalCompleted)
    let outside = latest.outside.sorted { $0.key < $1.key }
    report[path: ["outside"]] = .object(
      JSONObject(outside.map { JSONObject.Member(name: $0.key, value: JSONValue($0.value)) }))
    return report
  }

  private func apply(_ transitions: [GuardMachine.Transition], wasRollingBack: Bool) {
    for transition in transitions {
      switch transition {
      case .tripped(let latch):
        trips += 1
        report(latch, event: "guard_tripped")
        save()
      case .released(let revision):
        log.write(.info, "guard_released", at: loop.wallTime()) { $0.field("revision", revision) }
        save()
      case .verdict(let verdict):
        log.write(.info, "guard_verdict", at: loop.wallTime()) { $0.field("verdict", verdict.rawValue) }
      }
    }
    if isRollingBack != wasRollingBack { onChange(isRollingBack) }
  }

  private func report(_ latch: GuardMachine.Latch, event: StaticString) {
    log.write(.error, event, at: loop.wallTime()) { line in
      line.field("effect", latch.effect.rawValue)
      line.field("revision", latch.revision)
      line.field("reason", latch.reason)
    }
  }

  private func save() {
    guard let stateFile else { return }
    let wasSaved = isSaved
    do throws(FileError) {
      try reserve.lend { () throws(FileError) in
        try AtomicFile.replace(stateFile, with: machine.json.serialized(.compact))
      }
      isSaved = true
    } catch {
      // Tried again with each look at the workers' counts; told once.
      isSaved = false
      guard wasSaved else { return }
      log.write(.error, "guard_state_not_saved", at: loop.wallTime()) { line in
        line.field("file", stateFile)
        line.field("reason", "\(error)")
      }
    }
  }
}
