package import JSON

/// A compiled targeting rule: JsonLogic as flagd's Go daemon runs it.
///
/// What the text decides is decided at compile time: paths become slots, literal versions are parsed, literal
/// weights are summed, lists of literal strings are sorted. Mistakes that the daemon meets only when it evaluates
/// them stay in the tree as `invalid`, so that a rule fails exactly when and where it fails there.
package indirect enum Rule: Sendable {
  /// A scalar, a list of literals, or an object that is data (none or several members).
  case literal(JSONValue)
  case list([Rule])
  case variable(VariablePath, default: Rule)
  /// `var` whose argument is itself computed.
  case computedVariable(Rule)
  case conditional([Rule])
  /// `and` (until falsy) or `or` (until truthy).
  case junction([Rule], until: Bool)
  /// `!!`, or `!` when negated, of one given argument.
  case truth(Rule, negated: Bool)
  case comparison(Comparison, Rule, Rule)
  /// `in` with a list of literal strings; `list` is that list as written.
  case membership(Rule, StringSet, list: [JSONValue])
  case contains(Rule, in: Rule)
  case affix(Rule, Rule, atEnd: Bool)
  case version(Rule, SemanticComparison, Rule)
  case versionLiteral(Rule, SemanticComparison, SemanticVersion)
  case fractional(FractionalRule)
  case iteration(Iteration, source: [JSONValue])
  /// Any other operator, applied to its evaluated arguments.
  case call(Function, Rule)
  case invalid(RuleError)
}

extension Rule {
  /// `==` and its kin, on two given arguments.
  package enum Comparison: String, Sendable {
    case equal = "=="
    case notEqual = "!="
    case identical = "==="
    case notIdentical = "!=="
    case less = "<"
    case lessOrEqual = "<="
    case greater = ">"
    case greaterOrEqual = ">="
  }

  /// Operators over the elements of a list.
  package enum Iteration: String, Sendable {
    case map, filter, reduce, all, some, none
  }

  /// What an operator makes of its evaluated arguments.
  package struct Function: Sendable {
    typealias Body = @Sendable (inout RuleEvaluator, Call) throws(RuleError) -> JSONValue

    let name: String
    let body: Body
  }

  /// A call of an operator with its evaluated arguments: a list, or one bare value.
  struct Call {
    let name: String
    let arguments: JSONValue

    var wrongArgument: RuleError { .wrongArgument(name) }

    /// The arguments of an operator that takes no bare value.
    var list: [JSONValue] {
      get throws(RuleError) {
        guard case .array(let values) = arguments else { throw wrongArgument }
        return values
      }
    }

    /// The only argument, or the first.
    var first: JSONValue { arguments.array?.first ?? arguments }
  }
}

/// The path of a variable, split once.
package struct VariablePath: Sendable {
  let segments: [String]
  let root: Root

  /// Where the search begins in the flag's own data.
  enum Root: Sendable {
    case slot(EvaluationContext.Slot)
    case header(String)
    case flagKey
    case timestamp
    /// By the segments, one after another.
    case search
    case wholeData
    /// A path of dots alone: the engine finds nothing, not even the default.
    case nothing
  }

  /// - Parameter isListed: whether the path is an element of a list, where "" is a path and not all data.
  init(_ path: String, isListed: Bool = false) {
    // Empty segments are skipped: "a." is "a".
    segments = path.utf8.split(separator: UInt8(ascii: ".")).compactMap { String($0) }
    switch (segments.count, segments.first) {
    case (0, _): root = path.isEmpty && !isListed ? .wholeData : .nothing
    case (1, let name?): root = EvaluationContext.Slot(rawValue: name).map(Root.slot) ?? .search
    case (2, "headers"): root = .header(segments[1])
    case (2, "$flagd") where segments[1] == "flagKey": root = .flagKey
    case (2, "$flagd") where segments[1] == "timestamp": root = .timestamp
    default: root = .search
    }
  }
}

/// Literal strings in the order of their bytes: membership by halving.
package struct StringSet: Sendable {
  private let sorted: [String]

  init(_ strings: [String]) {
    sorted = strings.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }

  func contains(_ text: String) -> Bool {
    var (low, high) = (0, sorted.count)
    while low < high {
      let middle = (low + high) / 2
      if Coercion.precedes(sorted[middle], text) { low = middle + 1 } else { high = middle }
    }
    return low < sorted.count && sorted[low].sameBytes(as: text)
  }
}

extension JSONLimits {
  /// A flag file's limits: 1 MiB, and rules of the deepest kind inside flags inside the file.
  static let flagFile = JSONLimits(bytes: 1 << 20, depth: RuleLimits.depth + 8)
}
