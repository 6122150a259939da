import Files
import Flags
import JSON
import Loop
import Streams
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
  /// Told when `override` changes.
  var onChange: (ClosingOverride) -> Void = { _ in }
  /// An operator's word, until it is lifted.
  private(set) var kill: OperatorKill?
  /// Why what must survive a restart can't be written; `nil` when it can, or when there is nowhere to write it.
  private(set) var stateFault: String?

  private var retries = CohortCounts()
  private var finder = RetryFinder()
  private var lastLook: MonotonicTime
  private var hash = ""
  private var isFileKilled = false
  let stateFile: String?
  private let configured: GuardPolicy
  private let loop: EventLoop
  private let log: WorkerLog
  private let reserve: DescriptorReserve

  init(settings: FlagSettings, loop: EventLoop, log: WorkerLog, reserve: DescriptorReserve) {
    self.reserve = reserve
    self.loop = loop
    self.log = log
    configured = settings.guardPolicy
    machine = GuardMachine(policy: settings.guardPolicy)
    stateFile = settings.stateFile
    lastLook = loop.readClock()
    restore(from: settings)
    // Found out now and not in the hour when something has to be kept.
    save()
  }

  private func restore(from settings: FlagSettings) {
    let saved = settings.stateFiles.lazy.compactMap { path in
      (try? readFile(path, limit: 1 << 16).bytes).flatMap { try? JSONValue(parsing: $0) }
    }
    guard let saved = saved.first else { return }
    machine.restore(saved)
    kill = OperatorKill(saved["kill"])
    if let latch = machine.latch { report(latch, event: "guard_restored") }
    if let kill { report(kill, event: "kill_restored") }
  }

  /// What holds whatever the file says.
  var override: ClosingOverride {
    ClosingOverride(isRolledBack: machine.effect == .rollback, kill: kill?.recall ?? .none)
  }

  /// Takes the new closing back, or lifts that (`nil`).
  ///
  /// - Returns: whether anything is different now.
  func setKill(_ wanted: OperatorKill?) -> Bool {
    guard wanted?.isHard != kill?.isHard else { return false }
    kill = wanted
    if let wanted {
      report(wanted, event: "killed")
    } else {
      log.write(.warning, "kill_lifted", at: loop.wallTime()) { _ in }
    }
    onChange(override)
    save()
    return true
  }

  /// How often the workers are asked: often enough to see who comes back, and to act when a look is due.
  var gatherInterval: Nanoseconds { min(.seconds(1), machine.policy.interval) }

  /// Another flag file is in force.
  func flagsChanged(_ flags: FlagSet) {
    let key = FlagKey.streamClosing.description
    let rollout = try? Rollout(of: key, in: flags.document)
    let named = [rollout?.acknowledged ?? "", FlagEdit.acknowledged(key, in: flags.document)]
    let acknowledged = named.first { $0 == machine.latch?.revision } ?? ""
    // The phase says what happens when it goes badly; without a rollout the configuration does.
    machine.policy.onRegress = rollout?.phase.onRegress ?? configured.onRegress
    if flags.hash != hash { phaseStart = latest }
    hash = flags.hash
    isFileKilled = flags[key]?.isEnabled == false
    let before = override
    guard
      let transition = machine.fileChanged(
        revision: flags.name, hash: flags.hash, acknowledged: acknowledged)
    else { return }
    apply([transition], before: before)
  }

  /// Takes in the workers' answers, and looks when it is time.
  func take(_ answers: [Answer]) {
    var all = CohortCounts()
    for answer in answers { all.add(answer.counts) }
    finder.take(answers.flatMap(\.sightings), into: &retries)
    all.add(retries)
    latest = all
    if stateFault != nil { save() }
    // What is killed is nobody's choice: there is nothing to judge.
    guard kill == nil, !isFileKilled else { return }
    let now = loop.readClock()
    guard now - lastLook >= machine.policy.interval else { return }
    lastLook = now
    let before = override
    let transitions = machine.look(treated: all.treated, control: all.control, at: loop.wallTime())
    for report in machine.reports {
      checks[Check(metric: report.metric.rawValue, verdict: report.verdict.rawValue), default: 0] += 1
    }
    apply(transitions, before: before)
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

  private func apply(_ transitions: [GuardMachine.Transition], before: ClosingOverride) {
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
    if override != before { onChange(override) }
  }

  private func report(_ kill: OperatorKill, event: StaticString) {
    log.write(.error, event, at: loop.wallTime()) { line in
      line.field("actor", kill.actor)
      line.field("reason", kill.reason)
      line.field("effect", kill.isHard ? "open streams end the old way too" : "new streams are legacy")
    }
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
    let wasSaved = stateFault == nil
    var state = machine.json
    state[path: ["kill"]] = kill?.json ?? .null
    do throws(FileError) {
      try reserve.lend { () throws(FileError) in
        try AtomicFile.replace(stateFile, with: state.serialized(.compact))
      }
      stateFault = nil
    } catch {
      // Tried again with each look at the workers' counts; told once.
      stateFault = "\(error)"
      guard wasSaved else { return }
      log.write(.error, "guard_state_not_saved", at: loop.wallTime()) { line in
        line.field("file", stateFile)
        line.field("reason", "\(error)")
      }
    }
  }
}
