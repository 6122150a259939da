import Flags
import JSON

/// What `rollout start` was told.
struct RolloutPlanning {
  let invocation: FlagsInvocation
  let loaded: LoadedFlags
  let key: String

  init(_ invocation: FlagsInvocation, _ loaded: LoadedFlags, _ key: String) {
    self.invocation = invocation
    self.loaded = loaded
    self.key = key
  }

  func rollout() throws(FlagsFailure) -> Rollout {
    let arguments = invocation.arguments
    let names = loaded.set[key]?.variants.map(\.name) ?? []
    guard let variant = arguments["--variant"] else { throw .usage("rollout start needs --variant VARIANT") }
    guard let fallback = arguments["--fallback"] ?? loaded.set[key]?.defaultVariant else {
      throw .usage("the flag has no default variant: say --fallback VARIANT")
    }
    for name in [variant, fallback] where !names.contains(name) {
      throw .usage("\"\(name)\" is not one of the variants: \(names.joined(separator: ", "))")
    }
    guard variant != fallback else { throw .usage("\"\(variant)\" is what everybody has already") }
    return Rollout.start(
      variant: variant, fallback: fallback, phases: try phases(like: nil), internalKeys: try internalKeys(),
      internalHeader: try internalHeader(), at: Caller.now)
  }

  static let phaseOptions: Set<String> = [
    "--plan", "--min-duration", "--min-streams", "--min-identities", "--on-regress",
  ]

  /// The phases of the command line; what it does not say is as in `current`, else the default.
  func phases(like current: Rollout?) throws(FlagsFailure) -> [RolloutPhase] {
    let like = current?.phases.last
    let fallback = like?.onRegress ?? .rollback
    guard let onRegress = arguments["--on-regress"].map({ RolloutPhase.Regress(rawValue: $0) }) ?? fallback else {
      throw .usage("--on-regress is hold or rollback")
    }
    let old = current?.phases.map(\.share).filter { $0 > 0 }
    return RolloutPhase.plan(
      shares: try shares(default: old ?? [100, 500, 2500, 10_000]),
      minSeconds: try invocation.seconds("--min-duration") ?? like?.minSeconds ?? 3600,
      minStreams: try invocation.number("--min-streams") ?? like?.minStreams ?? 100,
      minIdentities: try minIdentities() ?? like?.minIdentities ?? 8, onRegress: onRegress)
  }

  /// More than the gateways can count would never be met.
  private func minIdentities() throws(FlagsFailure) -> Int? {
    let count = try invocation.number("--min-identities")
    if let count, count > GuardArm.buckets {
      throw .usage(
        "--min-identities \(count) could never be met: clients are counted by the \(GuardArm.buckets) groups that they "
          + "fall into; take \(GuardArm.buckets) at most, and --min-streams for more")
    }
    return count
  }

  private func shares(default shares: [Int]) throws(FlagsFailure) -> [Int] {
    guard let text = arguments["--plan"] else { return shares }
    var shares: [Int] = []
    for part in text.split(separator: ",") {
      guard let percent = Double(part), percent >= 0.01, percent <= 100 else {
        throw .usage("--plan takes percents from 0.01 to 100, such as 1,5,25,100, not \"\(text)\"")
      }
      shares.append(Int((percent * 100).rounded()))
    }
    guard shares.last == RolloutPhase.wholeShare, shares == shares.sorted(), Set(shares).count == shares.count else {
      throw .usage("--plan grows from phase to phase and ends at 100, not as in \"\(text)\"")
    }
    return shares
  }

  private var arguments: Arguments { invocation.arguments }

  private func internalKeys() throws(FlagsFailure) -> [String] {
    var keys = arguments.values["--internal"] ?? []
    if let file = arguments["--internal-file"] { keys += try FlagsContexts.lines(of: file) }
    return keys
  }

  private func internalHeader() throws(FlagsFailure) -> EvaluationContext.Header? {
    guard let text = arguments["--internal-header"] else { return nil }
    let parts = text.split(separator: "=", maxSplits: 1)
    guard parts.count == 2 else { throw .usage("--internal-header takes NAME=VALUE") }
    return EvaluationContext.Header(name: parts[0].lowercased(), value: String(parts[1]))
  }
}
