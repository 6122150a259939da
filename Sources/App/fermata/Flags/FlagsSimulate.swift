import Flags
import JSON

/// `simulate` and `diff`: what would be, without being.
extension FlagsVerb {
  static let simulate = FlagsVerb(
    name: "simulate", summary: "how many clients get what, phase by phase", usage: "[KEY] [--keys FILE|-] [OPTION …]",
    details: """
        --keys FILE|-      targeting keys, one a line; or JSON objects with "targetingKey"; or the gateway's log, which
                           has a hash of each client's key while the flag has a rule
        --count N          that many made-up keys instead; default 10000
        --members          who they are too

      """ + FlagsSurroundings.help,
    options: FlagsSurroundings.options.union(["--keys", "--count"]), switches: ["--members"]
  ) { invocation throws(FlagsFailure) in
    let loaded = try invocation.load()
    let key = try invocation.key(in: loaded)
    let contexts = try FlagsContexts.sample(invocation)
    if contexts.isEmpty, let hashes = try FlagsContexts.clientHashes(invocation) {
      return try HashedSimulation(hashes, key, invocation.rollout(of: key, in: loaded.document)).output()
    }
    let showsMembers = invocation.arguments.has("--members")
    let now = FlagsSample(loaded.set, key, contexts, showsMembers)
    var data: JSONValue = ["key": .string(key), "sampled": JSONValue(contexts.count), "now": now.json]
    var text = "now: \(now.text)"
    if let rollout = try invocation.rollout(of: key, in: loaded.document) {
      var phases: [JSONValue] = []
      for index in rollout.phases.indices {
        let phase = try FlagsSample(rollout, at: index, key, loaded, contexts, showsMembers)
        phases.append(phase.json)
        text += "\n\(rollout.phases[index].name) (\(FlagsState.percent(rollout.phases[index].share))): \(phase.text)"
      }
      data[path: ["phases"]] = .array(phases)
    }
    var output = FlagsOutput(kind: "Simulation", data: data, text: text)
    output.warnings = try FlagsSurroundings.warnings(invocation, loaded.set)
    let keyless = Simulation(loaded.set, key, contexts).withoutKey
    if keyless > 0 { output.warnings.append("\(keyless) without a targeting key: no fraction decides for them") }
    return output
  }

  static let diff = FlagsVerb(
    name: "diff", summary: "who would get another answer", usage: "FILE_A FILE_B [--keys FILE|-] [OPTION …]",
    details: """
        --flag KEY         this flag only; default: all that both files have
        --keys FILE|-      targeting keys, one a line; or JSON objects as in the gateway's log
        --count N          that many made-up keys instead; default 10000
        --members          who they are too
      """,
    options: ["--flag", "--keys", "--count"], switches: ["--members"], operands: 2...2
  ) { invocation throws(FlagsFailure) in
    let (old, new) = (
      try LoadedFlags(invocation.arguments.operands[0]), try LoadedFlags(invocation.arguments.operands[1])
    )
    let contexts = try FlagsContexts.sample(invocation)
    let keys = old.set.flags.map(\.key).filter { new.set[$0] != nil }
    if let key = invocation.arguments["--flag"], !keys.contains(key) {
      throw FlagsFailure(.notFound, "flag_not_found", "not both files have \"\(key)\"", next: "fermata flags list")
    }
    var (flags, lines): ([JSONValue], [String]) = ([], [])
    for key in invocation.arguments["--flag"].map({ [$0] }) ?? keys {
      let difference = FlagDifference(key, from: old.set, to: new.set, contexts)
      let findings = Rebucketing.findings(from: old.set, to: new.set, key: key)
      flags.append(json(key, difference, findings, contexts, invocation.arguments.has("--members")))
      lines.append("\(key): \(difference.changed.count) of \(difference.total) change")
      lines += difference.changes.map { "  \(name($0.from)) -> \(name($0.to)): \($0.count)" }
      lines += findings.map { "  moves clients: \($0)" }
    }
    return FlagsOutput(kind: "Diff", data: .array(flags), text: lines.joined(separator: "\n"))
  }

  private static func name(_ variant: String) -> String { variant.isEmpty ? "the caller's default" : variant }

  private static func json(
    _ key: String, _ difference: FlagDifference, _ findings: [String], _ contexts: [EvaluationContext],
    _ showsMembers: Bool
  ) -> JSONValue {
    var object: JSONObject = [
      "key": .string(key), "sampled": JSONValue(difference.total), "changed": JSONValue(difference.changed.count),
      "changes": .array(
        difference.changes.map { ["from": .string($0.from), "to": .string($0.to), "count": JSONValue($0.count)] }),
      "rebucketing": .array(findings.map(JSONValue.string)),
    ]
    if showsMembers { object["members"] = .array(difference.changed.map { FlagsSample.name(of: contexts[$0]) }) }
    return .object(object)
  }
}

/// The counts of one simulation, in both forms.
struct FlagsSample {
  let json: JSONValue
  let text: String

  init(
    _ set: FlagSet, _ key: String, _ contexts: [EvaluationContext], _ showsMembers: Bool, phase: RolloutPhase? = nil
  ) {
    let simulation = Simulation(set, key, contexts)
    let total = Double(max(1, simulation.total))
    func share(_ count: Int) -> Double { (Double(count) / total * 10_000).rounded() / 100 }
    var object: JSONObject = [
      "variants": .array(
        simulation.counts.map {
          ["variant": .string($0.variant), "members": JSONValue($0.members), "percent": .number(share($0.members))]
        })
    ]
    if let phase {
      object["phase"] = .string(phase.name)
      object["share"] = JSONValue(phase.share)
    }
    if showsMembers {
      let variants = contexts.map { set.evaluate(key, $0).variant ?? "" }
      object["members"] = .object(
        JSONObject(
          simulation.counts.map { count in
            let members = zip(contexts, variants).filter { $1 == count.variant }.map { Self.name(of: $0.0) }
            return JSONObject.Member(name: count.variant, value: .array(members))
          }))
    }
    json = .object(object)
    text = simulation.counts.map { count in
      "\(count.variant.isEmpty ? "the caller's default" : count.variant) \(count.members) "
        + "(\(JSONValue.text(of: share(count.members))) %)"
    }.joined(separator: ", ")
  }

  /// The sample as it would be in another phase.
  init(
    _ rollout: Rollout, at index: Int, _ key: String, _ loaded: LoadedFlags, _ contexts: [EvaluationContext],
    _ showsMembers: Bool
  ) throws(FlagsFailure) {
    var there = rollout
    there.index = index
    there.status = .running
    let document = FlagEdit.setRollout(there, of: key, in: loaded.document)
    let set = try LoadedFlags.parse(FlagEdit.file(document), loaded.path)
    self.init(set, key, contexts, showsMembers, phase: rollout.phases[index])
  }

  static func name(of context: EvaluationContext) -> JSONValue {
    context.targetingKey.map(JSONValue.string) ?? context.attributes["targetingKey"] ?? .object(context.attributes)
  }
}

/// A simulation over a log: it has no keys, but the hashes that a rollout's fraction goes by.
private struct HashedSimulation {
  private let hashes: Set<UInt32>
  private let key: String
  private let rollout: Rollout

  init(_ hashes: Set<UInt32>, _ key: String, _ rollout: Rollout?) throws(FlagsFailure) {
    guard let rollout else {
      throw FlagsFailure(
        .notFound, "rollout_not_found", "a log tells about the shares of a rollout, and \"\(key)\" has none",
        next: "rollout start, or give --keys targeting keys")
    }
    self.hashes = hashes
    self.key = key
    self.rollout = rollout
  }

  func output() -> FlagsOutput {
    var lines = ["now: \(text(rollout.share))"]
    lines += rollout.phases.map { "\($0.name) (\(FlagsState.percent($0.share))): \(text($0.share))" }
    let phases = rollout.phases.map { phase -> JSONValue in
      var object = json(phase.share)
      object[path: ["phase"]] = .string(phase.name)
      return object
    }
    let data: JSONValue = [
      "key": .string(key), "sampled": JSONValue(hashes.count), "now": json(rollout.share), "phases": .array(phases),
    ]
    return FlagsOutput(
      kind: "Simulation", data: data, text: lines.joined(separator: "\n"),
      warnings: ["clients by the hash in the log; the allow-list is not counted"])
  }

  private func members(_ share: Int) -> Int {
    let total = UInt64(RolloutPhase.wholeShare)
    return hashes.filter { (UInt64($0) * total) >> 32 < UInt64(share) }.count
  }

  private func json(_ share: Int) -> JSONValue {
    let count = members(share)
    return [
      "share": JSONValue(share),
      "variants": [
        ["variant": .string(rollout.variant), "members": JSONValue(count)],
        ["variant": .string(rollout.fallback), "members": JSONValue(hashes.count - count)],
      ],
    ]
  }

  private func text(_ share: Int) -> String {
    let count = members(share)
    return "\(rollout.variant) \(count), \(rollout.fallback) \(hashes.count - count)"
  }
}
