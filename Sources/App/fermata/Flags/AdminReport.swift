import Flags
import JSON

/// What `/flags` of the running gateways says. Where one word is wanted of several, the worst one's counts.
struct AdminReport {
  struct Gateway {
    let url: String
    /// `nil` when it did not answer.
    let document: JSONValue?
    let fault: String?

    var hash: String { document?["hash"]?.string ?? "" }
    var guardReport: JSONValue { document?["guard"] ?? .null }
    /// The same for people and logs: without the sums that only programs add up.
    var shortReport: JSONValue {
      guard let members = guardReport.object?.members else { return guardReport }
      return .object(JSONObject(members.filter { $0.name != "own" && $0.name != "policy" }))
    }
    var effect: String { guardReport["effect"]?.string ?? "none" }
    var verdict: GuardVerdict { guardReport["verdict"]?.string.flatMap(GuardVerdict.init) ?? .notEnough }
    var latchedRevision: String? { guardReport["latch"]?["revision"]?.string }
    var isKilled: Bool { document?["killed"] == true }
    var isDraining: Bool { document?["draining"] == true }
    /// What its guard has done and nobody has acknowledged.
    var trip: RolloutEvidence.Trip? {
      guard let effect = GuardMachine.Effect(rawValue: effect), effect != .none else { return nil }
      return RolloutEvidence.Trip(gateway: url, revision: latchedRevision ?? "", effect: effect)
    }

    /// The flags that it serves, for people.
    var inForce: String {
      let flags = (document?["flags"]?.object?.members ?? []).map { member in
        let word = member.value["defaultVariant"]?.string ?? "none"
        return "\(member.name) \(member.value["state"]?.string ?? "ENABLED"), default \(word)"
      }
      let revision = "it serves revision \(document?["version"]?.string ?? "unknown")"
      return flags.isEmpty ? revision : "\(revision): \(flags.joined(separator: "; "))"
    }

    func agrees(withHash hash: String) -> Bool {
      let workers = document?["workers"]?.array ?? []
      return self.hash == hash && !workers.isEmpty && workers.allSatisfy { $0["hash"]?.string == hash }
    }

    func json(fileHash: String) -> JSONValue {
      guard document != nil else { return ["admin": .string(url), "reachable": false, "fault": .string(fault ?? "")] }
      return [
        "admin": .string(url), "reachable": true, "sha256": .string(hash), "agrees": .bool(agrees(withHash: fileHash)),
        "effect": .string(effect), "verdict": .string(verdict.rawValue), "killed": .bool(isKilled),
        "draining": .bool(isDraining),
        "latch": guardReport["latch"] ?? .null, "workers": document?["workers"] ?? [],
        "shared": document?["shared"] ?? .null,
      ]
    }
  }

  let gateways: [Gateway]
  private var answers: [Gateway] { gateways.filter { $0.document != nil } }
  /// The gateway whose guard has acted, else the one that saw the worst.
  private var decisive: Gateway? {
    answers.min { left, right in
      (Self.rank(left.effect), Self.rank(left.verdict)) < (Self.rank(right.effect), Self.rank(right.verdict))
    }
  }

  private static func rank(_ effect: String) -> Int { ["rollback": 0, "hold": 1][effect] ?? 2 }
  private static func rank(_ verdict: GuardVerdict) -> Int { GuardVerdict.allCases.firstIndex(of: verdict) ?? 0 }

  var document: JSONValue { decisive?.document ?? .null }
  var hash: String { decisive?.hash ?? "" }
  var guardReport: JSONValue { decisive?.shortReport ?? .null }
  /// For the audit log.
  var evidence: JSONValue {
    var evidence = guardReport
    if let together { evidence[path: ["together"]] = together.json }
    return evidence
  }
  var effect: String { decisive?.effect ?? "none" }
  var verdict: GuardVerdict { decisive?.verdict ?? .notEnough }
  var latchedRevision: String? { answers.lazy.compactMap(\.latchedRevision).first }
  var isStale: Bool { answers.contains { $0.document?["staleSince"]?.string != nil } }
  var isKilled: Bool { answers.contains(where: \.isKilled) }
  /// Whether every gateway that was named has answered.
  var isWhole: Bool { answers.count == gateways.count }

  /// What graceful would have saved at all gateways together.
  var shadow: JSONValue {
    var sums = JSONObject()
    for gateway in answers {
      for member in gateway.document?["shadow"]?.object?.members ?? [] {
        sums[member.name] = JSONValue((sums[member.name]?.integer ?? 0) &+ (member.value.integer ?? 0))
      }
    }
    return sums.count == 0 ? .null : .object(sums)
  }

  /// What the gateways have counted, judged together; `nil` where only one was asked.
  var together: TogetherReport? { TogetherReport(answers.map(\.guardReport)) }

  /// What the gateways know together: the sums of both arms are judged. Gateways of an earlier version do not tell theirs:
  /// then streams add up, and of identities, which may be the same ones everywhere, the largest number counts.
  func evidence(forHash hash: String) -> RolloutEvidence {
    let phases = answers.map { $0.guardReport["phase"] ?? .null }
    func sum(_ name: String) -> Int { phases.reduce(0) { $0 &+ ($1[name]?.integer ?? 0) } }
    let together = together
    var evidence = RolloutEvidence(
      verdict: together?.verdict
        ?? .combined(phases.map { $0["verdict"]?.string.flatMap(GuardVerdict.init) ?? .notEnough }),
      streams: together?.arms.treated.streams ?? sum("streams"),
      identities: together?.arms.treated.identities ?? phases.map { $0["identities"]?.integer ?? 0 }.max() ?? 0,
      workersAgree: isWhole && answers.allSatisfy { $0.agrees(withHash: hash) })
    evidence.internalCompleted = sum("internalCompleted")
    evidence.trips = answers.compactMap(\.trip)
    evidence.killed = answers.filter(\.isKilled).map(\.url)
    evidence.draining = answers.filter(\.isDraining).map(\.url)
    // A guard that has acted saw harm, whatever the numbers have become since.
    evidence.wasWorse =
      phases.contains { $0["wasWorse"] == true } || answers.contains { $0.effect != "none" }
      || together?.verdict == .worse
    return evidence
  }

  // MARK: - For people

  /// - Parameter fileHash: of the flag file; `nil` where there is none to compare with.
  func lines(fileHash: String?) -> [String] {
    var lines = gateways.flatMap { self.lines(of: $0, fileHash: fileHash) }
    if Set(answers.map(\.effect)).count > 1 || Set(answers.map(\.isKilled)).count > 1 {
      lines.append("  THE GATEWAYS DISAGREE: what one has taken back others still give")
    }
    if let together { lines += together.lines }
    if let shadow = shadow.object {
      let counts = shadow.members.map { "\(Self.words($0.name)) \($0.value.text())" }
      lines.append("  in legacy, graceful would have changed: \(counts.joined(separator: ", "))")
    }
    return lines
  }

  private func lines(of gateway: Gateway, fileHash: String?) -> [String] {
    let front = gateways.count > 1 ? "  \(gateway.url)\n  " : "  "
    guard gateway.document != nil else { return ["  \(gateway.fault ?? gateway.url)"] }
    var lines = ["\(front)guard: \(gateway.verdict.rawValue), effect \(gateway.effect)"]
    if gateway.isKilled { lines.append("    killed: every new stream is legacy") }
    if let latch = gateway.latchedRevision {
      let reason = gateway.guardReport["latch"]?["reason"]?.string ?? ""
      lines.append("    since revision \(latch): \(reason)")
    }
    let isJudgedTogether = gateways.count > 1 && gateway.document?["shared"]?["redis"] != nil && together != nil
    if let own = GuardArms(gateway.guardReport["own"]?["arms"]), isJudgedTogether {
      let (treated, others) = (CountText.grouped(own.treated.streams), CountText.grouped(own.control.streams))
      lines.append("    its own streams in this phase: \(treated) treated, \(others) others")
    }
    for metric in gateway.guardReport["phase"]?["metrics"]?.array ?? [] where !isJudgedTogether {
      let verdict = metric["missing"]?.string.flatMap { $0.isEmpty ? nil : $0 } ?? metric["verdict"]?.string ?? ""
      lines.append("    \(metric["metric"]?.string ?? ""): \(verdict); \(metric["summary"]?.string ?? "")")
    }
    if let fileHash {
      let agrees = gateway.agrees(withHash: fileHash)
      lines.append(agrees ? "  all workers serve this file" : "  not all workers serve this file")
    } else {
      lines.append("  \(gateway.inForce)")
    }
    if let fault = gateway.document?["fault"]?.string { lines.append("  the gateway refused the file: \(fault)") }
    if let fault = gateway.document?["kill"]?["stateFault"]?.string {
      lines.append("  a restart forgets what the guard took back: \(fault)")
    }
    if let shared = gateway.document?["shared"], let redis = shared["redis"]?.string {
      let fault = shared["reason"]?.string
      lines.append(
        fault.map { "  NOT shared with other gateways: \(redis): \($0)" }
          ?? "  shares kills, trips and counts over \(redis)")
    }
    return lines
  }

  /// `streamsWithTrailingEvents` as people write it.
  private static func words(_ name: String) -> String {
    name.map { $0.isUppercase ? " \($0.lowercased())" : String($0) }.joined()
  }

  // MARK: - Asking

  /// Asks all gateways that are named; `nil` when none is.
  ///
  /// - Parameter mayMiss: whether the others' answers do where one does not answer.
  static func fetch(_ invocation: FlagsInvocation, mayMiss: Bool = false) throws(FlagsFailure) -> AdminReport? {
    guard let named = try AdminGateways(invocation) else { return nil }
    let answers = try named.ask("GET", "/flags")
    let gateways = answers.map { Gateway(url: $0.url, document: $0.document, fault: $0.fault) }
    if let missing = answers.first(where: { $0.fault != nil }), !mayMiss || answers.allSatisfy({ $0.fault != nil }) {
      throw FlagsFailure(
        .inputOutput, "admin", missing.fault ?? "", next: "check that the gateway runs, and --token")
    }
    return AdminReport(gateways: gateways)
  }
}
