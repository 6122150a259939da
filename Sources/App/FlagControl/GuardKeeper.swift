package import Configuration
package import Files
package import Flags
package import JSON
package import Logging
package import Loop
import Streams
import Telemetry
package import Time

/// Runs the guard: gathers what the workers counted, looks at it, and tells them when it takes the new closing back.
///
/// Lives on the main loop. It never writes the flag file; what must survive a restart goes into a small file beside it.
package final class GuardKeeper {
  /// What a worker answers.
  package struct Answer: Sendable {
    package var counts: CohortCounts
    package var sightings: [Sighting]

    package init(counts: CohortCounts, sightings: [Sighting]) {
      self.counts = counts
      self.sightings = sightings
    }
  }

  package private(set) var machine: GuardMachine
  /// What all workers have counted, of all flag files, and what they had when the flag file changed. What a worker still
  /// counts for an older file is left out.
  private var latest = CohortCounts()
  private var phaseStart = CohortCounts()
  package private(set) var trips = 0
  /// One comparison's metric and verdict.
  package struct Check: Hashable, Comparable {
    package let metric: String
    package let verdict: String

    package init(metric: String, verdict: String) {
      self.metric = metric
      self.verdict = verdict
    }

    package static func < (left: Check, right: Check) -> Bool {
      (left.metric, left.verdict) < (right.metric, right.verdict)
    }
  }

  package private(set) var checks: [Check: Int] = [:]
  /// Told when `override` changes.
  package var onChange: (ClosingOverride) -> Void = { _ in }
  /// What is decided here, for those who share it.
  package enum Decision {
    /// `nil`: lifted.
    case kill(OperatorKill?)
    case trip(GuardMachine.Latch)
  }

  /// Told of what is decided here, not of what is taken over.
  package var onDecision: (Decision) -> Void = { _ in }
  /// What other gateways have counted of the same file; added to what the workers have.
  package var others = GuardArms()
  /// What the state file keeps for those who share decisions.
  package var shared = JSONValue.null
  /// An operator's word, until it is lifted.
  package private(set) var kill: OperatorKill?
  /// Why what must survive a restart can't be written; `nil` when it can, or when there is nowhere to write it.
  package private(set) var stateFault: String?

  private var retries = CohortCounts()
  private var finder = RetryFinder()
  private var lastEvaluation: MonotonicTime
  /// Of the flag file in force.
  package private(set) var hash = ""
  /// The revisions that it acknowledges.
  private var acknowledged: [String] = []
  private var isFileKilled = false
  /// The other arm's sums when everybody came into the new one. What is added to them are streams that were open then.
  private var finalControl: GuardArm?
  package private(set) var isResting = false
  package let stateFile: String?
  private let configured: GuardPolicy
  private let loop: EventLoop
  private let log: WorkerLog
  private let reserve: DescriptorReserve

  package init(settings: FlagSettings, loop: EventLoop, log: WorkerLog, reserve: DescriptorReserve) {
    self.reserve = reserve
    self.loop = loop
    self.log = log
    configured = settings.guardPolicy
    machine = GuardMachine(policy: settings.guardPolicy)
    stateFile = settings.stateFile
    lastEvaluation = loop.readClock()
    restore(from: settings)
    // Found out now and not in the hour when something has to be kept.
    save()
  }

  private func restore(from settings: FlagSettings) {
    let saved = settings.stateFiles.lazy.compactMap { path in
      (try? readFile(path, limit: 1 << 16).bytes).flatMap { try? JSONValue(parsing: $0) }
    }
    guard let saved = saved.first else {
      // What it took back is forgotten; nobody should have to guess that.
      for path in settings.stateFiles where (try? FileStat(path)) != nil {
        log.write(.error, .guardStateUnreadable, at: loop.wallTime()) { $0.field("file", path) }
      }
      return
    }
    machine.restore(saved)
    kill = OperatorKill(saved["kill"])
    shared = saved["shared"] ?? .null
    if let latch = machine.latch { report(latch, event: .guardRestored) }
    if let kill { report(kill, event: .killRestored) }
  }

  /// What holds whatever the file says.
  package var override: ClosingOverride {
    ClosingOverride(isRolledBack: machine.effect == .rollback, kill: kill?.recall ?? .none)
  }

  /// What became of an operator's wish.
  package enum KillChange {
    case done, alreadySo
    /// A kill for open streams too is in force, and a weaker one changes nothing about it.
    case harderStays
  }

  /// Takes the new closing back. A kill never weakens one that is in force.
  package func setKill(_ wanted: OperatorKill) -> KillChange {
    if let kill, kill.isHard, !wanted.isHard {
      report(wanted, event: .killStays)
      return .harderStays
    }
    guard wanted.isHard != kill?.isHard else { return .alreadySo }
    put(wanted)
    decided()
    return .done
  }

  /// Lifts an operator's kill.
  ///
  /// - Parameter word: who lifts it, and why.
  package func liftKill(_ word: OperatorWord) -> KillChange {
    guard kill != nil else { return .alreadySo }
    lift(word)
    decided()
    return .done
  }

  private func decided() {
    onDecision(.kill(kill))
    save()
  }

  private func put(_ wanted: OperatorKill, isOthers: Bool = false) {
    kill = wanted
    report(wanted, event: .killed, isOthers: isOthers)
    onChange(override)
  }

  /// - Parameter word: `nil` when another gateway was asked, whose log has it.
  private func lift(_ word: OperatorWord?) {
    kill = nil
    log.write(.warning, .killLifted, at: loop.wallTime()) { line in
      if let word {
        line.field("actor", word.actor)
        line.field("reason", word.reason)
      }
      line.field("byAnotherGateway", word == nil)
    }
    onChange(override)
  }

  /// How often the workers are asked: often enough to see who comes back, and to act when a look is due.
  package var gatherInterval: Nanoseconds { min(.seconds(1), machine.policy.interval) }

  /// Another flag file is in force.
  package func flagsChanged(_ flags: FlagSet) {
    let key = FlagKey.streamClosing.description
    let rollout = try? Rollout(of: key, in: flags.document)
    let named = [rollout?.acknowledged ?? "", FlagEdit.acknowledged(key, in: flags.document)]
    acknowledged = named.filter { !$0.isEmpty }
    let acknowledged = named.first { $0 == machine.latch?.revision } ?? ""
    // The phase says what happens when it goes badly; without a rollout the configuration does.
    machine.policy.onRegress = rollout?.phase.onRegress ?? configured.onRegress
    var sums = latest
    sums.add(others)
    if flags.hash != hash {
      phaseStart = latest
      retries = CohortCounts(file: flags.hash)
      finalControl = rollout?.phase.share == RolloutPhase.wholeShare ? sums.control : nil
    }
    hash = flags.hash
    isFileKilled = flags[key]?.isEnabled == false
    let before = override
    guard
      let transition = machine.fileChanged(
        revision: flags.name, hash: flags.hash, acknowledged: acknowledged,
        sums: GuardArms(treated: sums.treated, control: sums.control))
    else { return }
    apply([transition], before: before)
  }

  /// Takes in the workers' answers, and has them judged when it is time.
  package func take(_ answers: [Answer]) {
    var all = phaseStart
    for answer in answers where answer.counts.file == hash { all.add(answer.counts) }
    finder.take(answers.flatMap(\.sightings), into: &retries)
    all.add(retries)
    latest = all
    if stateFault != nil { save() }
    // What is killed is nobody's choice: there is nothing to judge.
    guard kill == nil, !isFileKilled else { return }
    let now = loop.readClock()
    guard now - lastEvaluation >= machine.policy.interval else { return }
    lastEvaluation = now
    let before = override
    all.add(others)
    let transitions = machine.evaluate(
      treated: all.treated, control: finalControl ?? all.control, at: loop.wallTime())
    for report in machine.reports {
      checks[Check(metric: report.metric.rawValue, verdict: report.verdict.rawValue), default: 0] += 1
    }
    apply(transitions, before: before)
  }

  /// The process is draining: what ends from now on is not judged, and nothing is taken back or saved.
  package func rest() {
    isResting = true
    machine.rest()
  }

  /// For `/flags`: the machine's report, and who is not judged.
  package var report: JSONValue {
    var report = machine.report
    let internalCompleted = latest.internalCompleted - phaseStart.internalCompleted
    report[path: ["phase", "internalCompleted"]] = JSONValue(internalCompleted)
    report[path: ["policy"]] = machine.policy.json
    report[path: ["own"]] = ownReport
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
        report(latch, event: .guardTripped)
        onDecision(.trip(latch))
        save()
      case .released(let revision):
        log.write(.info, .guardReleased, at: loop.wallTime()) { $0.field("revision", revision) }
        save()
      case .verdict(let verdict):
        log.write(.info, .guardVerdict, at: loop.wallTime()) { $0.field("verdict", verdict.rawValue) }
      }
    }
    if override != before { onChange(override) }
  }

  private func report(_ kill: OperatorKill, event: LogEvent, isOthers: Bool = false) {
    log.write(.error, event, at: loop.wallTime()) { line in
      line.field("actor", kill.actor)
      line.field("reason", kill.reason)
      let isHard = kill.isHard || self.kill?.isHard == true
      line.field("effect", isHard ? "open streams end the old way too" : "new streams are legacy")
      if isOthers { line.field("byAnotherGateway", true) }
    }
  }

  private func report(_ latch: GuardMachine.Latch, event: LogEvent) {
    log.write(.error, event, at: loop.wallTime()) { line in
      line.field("effect", latch.effect.rawValue)
      line.field("revision", latch.revision)
      line.field("reason", latch.reason)
    }
  }

  package func save() {
    guard let stateFile else { return }
    let wasSaved = stateFault == nil
    var state = machine.json
    state[path: ["kill"]] = kill?.json ?? .null
    if !shared.isNull { state[path: ["shared"]] = shared }
    do throws(FileError) {
      try reserve.lend { () throws(FileError) in
        try AtomicFile.replace(stateFile, with: state.serialized(.compact))
      }
      stateFault = nil
    } catch {
      // Tried again with each look at the workers' counts; told once.
      stateFault = "\(error)"
      guard wasSaved else { return }
      log.write(.error, .guardStateNotSaved, at: loop.wallTime()) { line in
        line.field("file", stateFile)
        line.field("reason", "\(error)")
      }
    }
  }
}

/// What several gateways share.
extension GuardKeeper {
  /// What this process alone has counted since the flag file came into force.
  package var ownPhase: GuardArms {
    var arms = GuardArms(treated: latest.treated, control: latest.control)
    arms = arms - GuardArms(treated: phaseStart.treated, control: phaseStart.control)
    if finalControl != nil { arms.control = GuardArm() }
    return arms
  }

  private var ownReport: JSONValue {
    let arms = ownPhase
    return [
      "streams": JSONValue(arms.treated.streams), "identities": JSONValue(arms.treated.identities), "arms": arms.json,
    ]
  }

  /// Whether the flag file in force says that somebody knows of a trip.
  package func acknowledges(_ latch: GuardMachine.Latch) -> Bool {
    acknowledged.contains(latch.revision) && hash != latch.hash
  }

  /// Takes over what an operator has told another gateway.
  ///
  /// - Returns: whether anything is different now.
  package func adopt(_ wanted: OperatorKill?) -> Bool {
    guard wanted?.isHard != kill?.isHard else { return false }
    if let wanted { put(wanted, isOthers: true) } else { lift(nil) }
    return true
  }

  /// Takes over what another gateway's guard has taken back.
  ///
  /// - Returns: whether anything is different now.
  package func adopt(_ latch: GuardMachine.Latch) -> Bool {
    let before = override
    guard machine.adopt(latch) else { return false }
    report(latch, event: .guardAdopted)
    if override != before { onChange(override) }
    return true
  }
}
