import Configuration
import Flags
import Gateway
import JSON

/// `--config` and `--admin` of verbs that only read: what the gateway gives to the file's rules.
enum FlagsSurroundings {
  static let options = AdminGateways.options.union(["--config"])
  static let help = """
      --config FILE      the gateway's configuration: warns of rules that look at what it never gives them
      --admin URL        the same, asked of a running gateway
    """

  /// What the rules look at in vain; nothing without a configuration.
  static func warnings(_ invocation: FlagsInvocation, _ set: FlagSet) throws(FlagsFailure) -> [String] {
    guard let configuration = try configuration(invocation) else { return [] }
    return RuleSurroundings(configuration: configuration).warnings(of: set)
  }

  private static func configuration(_ invocation: FlagsInvocation) throws(FlagsFailure) -> JSONValue? {
    if let configuration = try invocation.configuration() {
      return (try? JSONValue(parsing: configuration.summary)) ?? .null
    }
    guard let gateways = try AdminGateways(invocation) else { return nil }
    let answer = try gateways.ask("GET", "/config").first
    guard let document = answer?.document else {
      throw FlagsFailure(
        .inputOutput, "admin", answer?.fault ?? "no gateway answered", next: "check that the gateway runs, and --token")
    }
    return document
  }
}
