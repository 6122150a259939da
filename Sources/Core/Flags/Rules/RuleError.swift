/// Why a rule has no result; the flag then answers PARSE_ERROR.
package enum RuleError: Error, Equatable, Sendable, CustomStringConvertible {
  case unknownOperator(String)
  /// The operator got an argument that it cannot take.
  case wrongArgument(String)
  case notFinite
  /// More than one rule may nest, hold or do; the limits are named in `RuleLimits`.
  case tooDeep, tooLarge, tooManySteps

  package var description: String {
    switch self {
    case .unknownOperator(let name): "unknown operator \"\(name)\""
    case .wrongArgument(let name): "\"\(name)\" cannot take these arguments"
    case .notFinite: "the result is not a finite number"
    case .tooDeep: "the rule is nested deeper than \(RuleLimits.depth) levels"
    case .tooLarge: "the rule has more than \(RuleLimits.nodes) nodes"
    case .tooManySteps: "the rule takes more than \(RuleLimits.steps) steps"
    }
  }
}

/// What one rule may cost.
package enum RuleLimits {
  package static let depth = 64
  package static let nodes = 10_000
  /// Nodes visited and elements touched in one evaluation.
  package static let steps = 100_000
  /// Bytes of a computed string.
  package static let textBytes = 65_536
}
