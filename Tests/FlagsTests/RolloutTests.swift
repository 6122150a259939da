import EventSamples
import Flags
import JSON
import Testing
import Time

@Suite struct `A rollout` {
  private let start = WallTime(milliseconds: 1_790_000_000_000)
  private func later(_ seconds: Int) -> WallTime { WallTime(milliseconds: start.milliseconds + Int64(seconds) * 1000) }

  private func fresh(minSeconds: Int = 60, minStreams: Int = 100) -> Rollout {
    Rollout.start(
      variant: "graceful", fallback: "legacy",
      phases: RolloutPhase.plan(minSeconds: minSeconds, minStreams: minStreams),
      internalKeys: ["qa-1", "qa-2"], internalHeader: .init(name: "x-internal", value: "1"), at: start)
  }

  private func set(_ rollout: Rollout) throws -> FlagSet {
    let document = FlagEdit.setRollout(rollout, of: "stream-closing", in: Self.base)
    let set = try FlagSet(parsing: FlagEdit.file(document), requiring: [.streamClosing])
    #expect(FlagLinter.lint(FlagEdit.file(document)).filter { !$0.message.contains("without a targeting key") } == [])
    return set
  }

  static let base: JSONValue = [
    "flags": [
      "stream-closing": [
        "state": "ENABLED", "variants": ["legacy": "legacy", "shield": "shield", "graceful": "graceful"],
        "defaultVariant": "legacy",
      ]
    ],
    "metadata": ["version": "1", "fractional": "v2"],
  ]

  private func evidence(
    _ verdict: GuardVerdict, streams: Int = 500, identities: Int = 40, workersAgree: Bool = true
  ) -> RolloutEvidence {
    var evidence = RolloutEvidence(
      verdict: verdict, streams: streams, identities: identities, workersAgree: workersAgree)
    evidence.internalCompleted = 3
    return evidence
  }

  /// The rollout as it is read from the file of that revision.
  private func written(_ rollout: Rollout, as revision: Int) throws -> Rollout {
    let document = FlagEdit.revised(FlagEdit.setRollout(rollout, of: "stream-closing", in: Self.base), to: revision)
    return try #require(try Rollout(of: "stream-closing", in: document))
  }

  private func code(_ body: () throws -> Rollout) -> String? {
    do {
      _ = try body()
      return nil
    } catch {
      return (error as? RolloutRefusal)?.code
    }
  }

  @Test func `a whole rollout goes through its phases and nobody falls out`() throws {
    var rollout = fresh()
    var members = Set<String>()
    var now = 0
    let keys = Simulation.keys(count: 5000)
    let good = evidence(.pass)
    let expected = [
      ("internal", "internal", 0), ("p1", "gradual", 110), ("p2", "gradual", 504), ("p3", "gradual", 2507),
    ]
    for step in 0..<5 {
      let set = try set(rollout)
      let on = keys.filter { set.evaluate(.streamClosing, $0).variant == "graceful" }.compactMap(\.targetingKey)
      #expect(members.isSubset(of: on))
      members = Set(on)
      if step < 4 { #expect((rollout.phase.name, rollout.stage) == (expected[step].0, expected[step].1)) }
      let share = Double(on.count) / Double(keys.count)
      #expect(abs(share - Double(rollout.share) / 10_000) < 0.02, "\(share) at \(rollout.phase.name)")
      for context in [
        EvaluationContext(targetingKey: "qa-2"), EvaluationContext(isInternal: true),
        EvaluationContext(headers: [.init(name: "x-internal", value: "1")]),
      ] {
        #expect(set.evaluate(.streamClosing, context).variant == "graceful")
      }
      guard !rollout.isLastPhase else { break }
      now += 61
      rollout = try rollout.advanced(evidence: good, isForced: false, at: later(now))
    }
    #expect(members.count == 5000 && rollout.stage == "clients updated")
    #expect(try set(rollout).evaluate(.streamClosing, EvaluationContext()).variant == "legacy")
    let bad = evidence(.worse)
    #expect(code { try rollout.finished(evidence: bad, isForced: false, at: later(now + 61)) } == "guard")
    // There is nobody left to compare with.
    let alone = evidence(.noControl)
    rollout = try rollout.finished(evidence: alone, isForced: false, at: later(now + 61))
    let set = try set(rollout)
    #expect(set["stream-closing"]?.targeting == nil)
    #expect(set.evaluate(.streamClosing, EvaluationContext()).variant == "graceful")
    #expect(rollout.stage == "finished" && rollout.availableActions == ["abort"])
  }

  @Test func `a step is refused until its conditions hold`() throws {
    #expect(code { try fresh().advanced(evidence: nil, isForced: false, at: later(1)) } == "no_evidence")
    var unseen = evidence(.nobodyTreated)
    unseen.internalCompleted = 0
    #expect(code { try fresh().advanced(evidence: unseen, isForced: false, at: later(1)) } == "no_internal_stream")
    let first = try fresh().advanced(evidence: evidence(.nobodyTreated), isForced: false, at: later(1))
    #expect(first.phase.name == "p1")
    func advance(_ seconds: Int, _ evidence: RolloutEvidence?, to name: String? = nil) -> String? {
      code { try first.advanced(to: name, evidence: evidence, isForced: false, at: later(seconds)) }
    }
    #expect(advance(30, nil) == "too_early")
    #expect(advance(100, nil) == "no_evidence")
    #expect(advance(100, evidence(.pass, streams: 5)) == "too_few_streams")
    #expect(advance(100, evidence(.pass, workersAgree: false)) == "workers_differ")
    #expect(advance(100, evidence(.pass, identities: 7)) == "too_few_identities")
    for verdict in [GuardVerdict.worse, .nobodyTreated, .noControl, .notEnough] {
      #expect(advance(100, evidence(verdict)) == "guard")
    }
    var burnt = evidence(.pass)
    burnt.wasWorse = true
    #expect(advance(100, burnt) == "guard", "it was worse in this phase")
    #expect(advance(100, evidence(.noHarmSeen)) == nil, "a small installation never proves half a point")
    let proof = code {
      try first.advanced(evidence: evidence(.noHarmSeen), requiresPass: true, isForced: false, at: later(100))
    }
    #expect(proof == "guard")
    let good = evidence(.pass)
    #expect(advance(100, good) == nil)
    #expect(advance(100, good, to: "p3") == "skips_phases")
    #expect(advance(100, good, to: "internal") == "not_forward")
    #expect(advance(100, good, to: "p9") == "unknown_phase")
    #expect(advance(100, nil, to: "p1") == nil)
    #expect(try first.advanced(to: "p3", evidence: nil, isForced: true, at: later(2)).phase.name == "p3")
  }

  @Test func `every condition says what is there, what is needed and how long it takes`() throws {
    let first = try fresh().advanced(evidence: evidence(.pass), isForced: false, at: start)
    let criteria = first.criteria(evidence(.notEnough, streams: 34, identities: 4), at: later(30))
    #expect(criteria.map(\.isMet) == [true, true, true, true, false, false, false, false, true])
    #expect(criteria[4].description == "30 s of at least 1 min, 30 s to go")
    #expect(criteria[5].description == "34 of 100 treated streams, about 59 s to go at this rate")
    #expect(criteria[6].description == "4 of 8 treated identities, about 30 s to go at this rate")
    #expect(criteria[7].description == "the guard says not_enough")
    do throws(RolloutRefusal) {
      _ = try first.advanced(evidence: evidence(.notEnough, streams: 34), isForced: false, at: later(30))
      Issue.record("it was not refused")
    } catch {
      #expect(error.description.contains("30 s to go; 34 of 100") && error.description.contains("not_enough"))
    }
  }

  @Test func `a phase is not left while something is stopped, the internal one too, and force writes down what`() throws
  {
    let good = evidence(.pass)
    var (tripped, killed, draining) = (good, good, good)
    tripped.trips = [.init(gateway: "http://g", revision: "11", effect: .hold)]
    killed.killed = ["http://g"]
    draining.draining = ["http://g"]
    for rollout in [fresh(), try fresh().advanced(to: "p2", evidence: nil, isForced: true, at: start)] {
      #expect(code { try rollout.advanced(evidence: good, isForced: false, at: later(61)) } == nil)
      for (stopped, word, text) in [
        (tripped, "latched", "the guard of http://g holds revision 11"), (killed, "killed", "http://g is killed"),
        (draining, "draining", "http://g is draining: it takes no new streams"),
      ] {
        #expect(code { try rollout.advanced(evidence: stopped, isForced: false, at: later(61)) } == word)
        #expect(try rollout.advanced(evidence: stopped, isForced: true, at: later(61)).forced == [word])
        #expect(rollout.criteria(stopped, at: later(61)).first { !$0.isMet }?.description == text)
      }
      let held = try rollout.held("odd", at: start).criteria(good, isEnabled: false, at: later(61))
      #expect(held.filter { !$0.isMet }.map(\.code) == ["held", "killed"])
    }
  }

  @Test func `no more clients are asked for than can be told apart`() throws {
    var first = try fresh().advanced(evidence: evidence(.pass), isForced: false, at: start)
    first.phases[first.index].minIdentities = 100
    let many = evidence(.pass, identities: 64)
    #expect(code { try first.advanced(evidence: many, isForced: false, at: later(61)) } == nil)
    let few = code { try first.advanced(evidence: evidence(.pass, identities: 63), isForced: false, at: later(61)) }
    #expect(few == "too_few_identities")
  }

  @Test(arguments: [
    (0, "0 s"), (59, "59 s"), (60, "1 min"), (6000, "1 h 40 min"), (86_400, "1 d"), (180_000, "2 d 2 h"),
  ])
  func `durations have two units at most`(_ seconds: Int, _ text: String) {
    #expect(DurationText.short(seconds) == text)
  }

  @Test func `hold, resume and abort are safe to repeat`() throws {
    let running = try fresh().advanced(to: "p3", evidence: nil, isForced: true, at: start)
    let held = try running.held("looks odd", at: later(5))
    #expect(held.share == 2500 && held.status == .held)
    #expect(try held.held("again", at: later(6)) == held)
    #expect(code { try held.advanced(evidence: nil, isForced: true, at: later(7)) } == "held")
    #expect(try held.resumed(acknowledging: nil, latched: nil, at: later(8)).phase.name == "p3")

    let aborted = held.aborted("bad", dropsInternal: false, at: later(9))
    #expect(aborted.share == 0 && aborted.aborted("x", dropsInternal: false, at: later(10)) == aborted)
    #expect(aborted.aborted("x", dropsInternal: true, at: later(10)).internalKeys == [])
    #expect(code { try aborted.resumed(acknowledging: nil, latched: nil, at: later(11)) } == "not_acknowledged")
    #expect(code { try aborted.held("x", at: later(11)) } == "rolled_back")
    let again = try aborted.resumed(acknowledging: "17", latched: "17", at: later(12))
    #expect(again.phase.name == "p1" && again.status == .running && again.acknowledged == "17")
    #expect(try again.resumed(acknowledging: "17", latched: "", at: later(13)) == again)
    #expect(try set(aborted).evaluate(.streamClosing, EvaluationContext(targetingKey: "qa-1")).variant == "graceful")
  }

  @Test func `an acknowledgement moves only what the guard has stopped`() throws {
    let running = try fresh().advanced(to: "p3", evidence: nil, isForced: true, at: start)
    func resumed(_ rollout: Rollout, _ ack: String?, _ latched: String?) throws(RolloutRefusal) -> Rollout {
      try rollout.resumed(acknowledging: ack, latched: latched, at: later(20))
    }
    // It runs, and nothing has stopped it.
    #expect(try resumed(running, nil, nil) == running && resumed(running, nil, "") == running)
    #expect(code { try resumed(running, "17", "") } == "no_trip")
    #expect(code { try resumed(running, "17", nil) } == "not_checked")
    // The guard has stopped it at revision 17.
    #expect(code { try resumed(running, nil, "17") } == "not_acknowledged")
    #expect(code { try resumed(running, "16", "17") } == "wrong_revision")
    #expect(try resumed(running, "17", "17").phase.name == "p1")
    let held = try running.held("x", at: later(5))
    #expect(try resumed(held, nil, "").phase.name == "p3" && resumed(held, nil, "").since == later(20))
    #expect(code { try resumed(held, nil, "17") } == "not_acknowledged")
    // Aborted in revision 14: its number is checked, and so is the guard's where that has acted too.
    let aborted = try written(running.aborted("x", dropsInternal: false, at: later(5)), as: 14)
    for wrong in ["99999", "abc", "13", "014", ""] {
      #expect(code { try resumed(aborted, wrong, "") } == "wrong_revision")
      #expect(code { try resumed(aborted, wrong, nil) } == "wrong_revision")
    }
    #expect(code { try resumed(aborted, "14", nil) } == "not_checked")
    #expect(code { try resumed(aborted, "14", "11") } == "wrong_revision")
    #expect(try resumed(aborted, "14", "").phase.name == "p1" && resumed(aborted, "11", "11").phase.name == "p1")
    #expect(try resumed(aborted, "14", "").abortRevision == nil)
    #expect(try written(aborted, as: 20).abortRevision == 14, "the number stays through later changes")
    #expect(aborted.availableActions == ["resume --ack 14"])
    var asksNothing = aborted
    asksNothing.phases = RolloutPhase.plan(minSeconds: 0, minStreams: 0, minIdentities: 0)
    #expect(try resumed(asksNothing, "14", nil).phase.name == "p1")
    // Nothing gets past the internal phase by an acknowledgement.
    #expect(try resumed(fresh(), "17", "17").phase.name == "internal")
    let early = try written(fresh().aborted("x", dropsInternal: false, at: later(5)), as: 3)
    #expect(try resumed(early, "3", "").phase.name == "internal")
    var finished = running
    finished.status = .finished
    #expect(code { try resumed(finished, "17", "17") } == "finished")
  }

  @Test func `a new plan keeps the share that clients have`() throws {
    let running = try fresh().advanced(to: "p2", evidence: nil, isForced: true, at: start)
    let other = try running.withPhases(RolloutPhase.plan(shares: [500, 10_000]))
    #expect(other.phase.name == "p1" && other.share == 500 && other.since == running.since)
    #expect(code { try running.withPhases(RolloutPhase.plan(shares: [100, 10_000])) } == "share_missing")
  }

  @Test(
    arguments: [
      ([.pass, .pass], .pass), ([.pass, .notEnough], .noHarmSeen), ([.pass, .worse], .worse),
      ([.notEnough, .nobodyTreated], .nobodyTreated), ([.noHarmSeen, .noControl], .noHarmSeen), ([], .notEnough),
    ] as [([GuardVerdict], GuardVerdict)])
  func `the word of several gateways is the worst of those that could judge`(
    _ verdicts: [GuardVerdict], _ expected: GuardVerdict
  ) {
    #expect(GuardVerdict.combined(verdicts) == expected)
  }

  @Test func `the state survives the file`() throws {
    let rollout = try fresh().advanced(to: "p2", evidence: nil, isForced: true, at: later(3)).held("why", at: later(4))
    let document = FlagEdit.setRollout(rollout, of: "f", in: ["flags": ["f": [:]]])
    let read = try Rollout(of: "f", in: try JSONValue(parsing: FlagEdit.file(document)))
    #expect(read == rollout)
    #expect(try Rollout(of: "g", in: document) == nil)
    var broken = document
    broken[path: ["$rollouts", "f", "phase"]] = "p7"
    #expect(throws: DecodingFaults.self) { try Rollout(of: "f", in: broken) }
  }

  @Test(arguments: FractionalGeneration.allCases, [true, false])
  func `growing a share never takes anybody out`(_ generation: FractionalGeneration, _ isFirst: Bool) throws {
    var random = SeededGenerator(seed: 1)
    for _ in 0..<5 {
      var shares = (0..<5).map { _ in Int.random(in: 0...10_000, using: &random) }.sorted()
      shares.append(10_000)
      let prefix = UInt64.random(in: 0...UInt64.max, using: &random)
      let keys = (0..<400).map { EvaluationContext(targetingKey: "\(prefix)-\($0)") }
      var before = Set<Int>()
      for share in shares {
        let on: JSONValue = ["on", JSONValue(share)]
        let off: JSONValue = ["off", JSONValue(10_000 - share)]
        let document: JSONValue = [
          "flags": [
            "f": [
              "state": "ENABLED", "variants": ["on": 1, "off": 0],
              "targeting": ["fractional": isFirst ? [on, off] : [off, on]],
            ]
          ],
          "metadata": ["fractional": .string(generation.rawValue)],
        ]
        let set = try FlagSet(parsing: document.serialized())
        let now = Set(keys.indices.filter { set.evaluate("f", keys[$0]).variant == "on" })
        #expect(before.isSubset(of: now))
        #expect(abs(Double(now.count) / 400 - Double(share) / 10_000) < 0.12)
        before = now
      }
      #expect(before.count == keys.count)
    }
  }
}

@Suite struct `Edits that move people` {
  private func set(_ fractional: JSONValue, generation: String = "v2") throws -> FlagSet {
    let document: JSONValue = [
      "flags": [
        "f": ["state": "ENABLED", "variants": ["on": 1, "off": 0, "x": 2], "targeting": ["fractional": fractional]]
      ],
      "metadata": ["fractional": .string(generation)],
    ]
    return try FlagSet(parsing: document.serialized())
  }

  @Test func `growing and shrinking in place are no re-bucketing`() throws {
    let pairs: [(JSONValue, JSONValue)] = [
      ([["on", 5], ["off", 95]], [["on", 25], ["off", 75]]),
      ([["on", 25], ["off", 75]], [["on", 5], ["off", 95]]),
      ([["off", 95], ["on", 5]], [["off", 75], ["on", 25]]), ([["on", 5], ["off", 95]], [["on", 1], ["off", 3]]),
      ([["on", 0], ["off", 95]], [["on", 100], ["off", 0]]),
    ]
    for (old, new) in pairs {
      #expect(Rebucketing.findings(from: try set(old), to: try set(new), key: "f") == [], "\(old) \(new)")
    }
  }

  @Test func `moving a share, its key or its generation is`() throws {
    let old: JSONValue = [["on", 5], ["off", 95]]
    for new: JSONValue in [
      [["off", 75], ["on", 25]], [["x", 10], ["on", 25], ["off", 65]],
      [["cat": ["s", ["var": "k"]]], ["on", 5], ["off", 95]],
    ] {
      #expect(!Rebucketing.findings(from: try set(old), to: try set(new), key: "f").isEmpty, "\(new)")
    }
    #expect(!Rebucketing.findings(from: try set(old), to: try set(old, generation: "v3"), key: "f").isEmpty)
    let three: JSONValue = [["x", 1], ["on", 5], ["off", 94]]
    let grown: JSONValue = [["x", 10], ["on", 25], ["off", 65]]
    #expect(!Rebucketing.findings(from: try set(three), to: try set(grown), key: "f").isEmpty)
  }

  @Test func `the difference of two files counts who changes`() throws {
    let keys = Simulation.keys(count: 10_000)
    let (old, new) = (try set([["on", 5], ["off", 95]]), try set([["on", 25], ["off", 75]]))
    let difference = FlagDifference("f", from: old, to: new, keys)
    #expect(difference.changes.count == 1 && difference.changes.first?.from == "off")
    #expect((1800...2200).contains(difference.changed.count))
    #expect(FlagDifference("f", from: old, to: old, keys).changes.isEmpty)
    let simulation = Simulation(new, "f", keys + [EvaluationContext()])
    #expect(simulation.total == 10_001 && simulation.withoutKey == 1 && simulation.members(of: "") == 1)
  }
}
