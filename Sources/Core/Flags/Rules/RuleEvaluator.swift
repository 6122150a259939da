package import JSON

/// Runs a compiled rule over one context. Strings are passed on, not copied; a rule of the portable profile over
/// string data allocates nothing.
package struct RuleEvaluator {
  let context: EvaluationContext
  let flagKey: String
  let generation: FractionalGeneration
  /// The data of the innermost list operator; `nil` means the context itself.
  var item: JSONValue?
  /// Whether a `fractional` has decided so far.
  package private(set) var usedFraction = false
  private var steps = 0
  private var dataRules = 0

  package init(context: EvaluationContext, flagKey: String, generation: FractionalGeneration = .v2) {
    self.context = context
    self.flagKey = flagKey
    self.generation = generation
  }

  /// The value of `rule` with `data` in place of the context.
  package mutating func evaluate(_ rule: Rule, over data: JSONValue) throws(RuleError) -> JSONValue {
    let outer = item
    item = data
    defer { item = outer }
    return try evaluate(rule)
  }

  package mutating func evaluate(_ rule: Rule) throws(RuleError) -> JSONValue {
    try spend(1)
    switch rule {
    case .literal(let value): return value
    case .list(let rules):
      var values: [JSONValue] = []
      values.reserveCapacity(rules.count)
      for rule in rules { values.append(try evaluate(rule)) }
      return .array(values)
    case .variable(let path, let fallback): return try variable(path, fallback)
    case .computedVariable(let argument): return try variable(at: try evaluate(argument))
    case .conditional(let clauses): return try conditional(clauses)
    case .junction(let rules, let end): return try junction(rules, until: end)
    case .truth(let argument, let negated): return .bool(Coercion.isTrue(try evaluate(argument)) != negated)
    case .comparison(let comparison, let left, let right):
      let left = try evaluate(left)
      return .bool(comparison.holds(left, try evaluate(right)))
    case .membership(let needle, let set, let list):
      let needle = try evaluate(needle)
      if case .string(let text) = needle { return .bool(set.contains(text)) }
      return .bool(try ListOperators.contains(needle, in: .array(list)))
    case .contains(let needle, let haystack):
      let needle = try evaluate(needle)
      return .bool(try ListOperators.contains(needle, in: try evaluate(haystack)))
    case .affix(let text, let affix, let atEnd):
      let text = try evaluate(text)
      return TextOperators.hasAffix(text, try evaluate(affix), atEnd: atEnd)
    case .version(let left, let comparison, let right):
      let left = try evaluate(left)
      return comparison.result(left, try evaluate(right))
    case .versionLiteral(let left, let comparison, let right): return comparison.result(try evaluate(left), right)
    case .fractional(let rule): return try decide(rule)?.variant ?? .null
    case .iteration(let iteration, let source): return try iterate(iteration, source)
    case .call(let function, let arguments):
      let call = Rule.Call(name: function.name, arguments: try evaluate(arguments))
      return try function.body(&self, call)
    case .invalid(let error): throw error
    }
  }

  /// Counts work; a rule that goes on and on is an error, not a hang.
  mutating func spend(_ count: Int) throws(RuleError) {
    steps += count
    if steps > RuleLimits.steps { throw .tooManySteps }
  }

  private mutating func conditional(_ clauses: [Rule]) throws(RuleError) -> JSONValue {
    var index = 0
    while index + 1 < clauses.count {
      if Coercion.isTrue(try evaluate(clauses[index])) { return try evaluateTwice(clauses[index + 1]) }
      index += 2
    }
    return index < clauses.count ? try evaluateTwice(clauses[index]) : .null
  }

  /// The engine evaluates a result that is an object once more: data may bring a rule along.
  private mutating func evaluateTwice(_ rule: Rule) throws(RuleError) -> JSONValue {
    let value = try evaluate(rule)
    guard case .object(let object) = value, object.count == 1 else { return value }
    dataRules += 1
    guard dataRules <= RuleLimits.depth else { throw .tooDeep }
    return try evaluate(try Rule(compiling: value))
  }

  private mutating func junction(_ rules: [Rule], until end: Bool) throws(RuleError) -> JSONValue {
    var value = JSONValue.null
    for rule in rules {
      value = try evaluate(rule)
      if Coercion.isTrue(value) == end { return value }
    }
    return value
  }
}

/// Variables.
extension RuleEvaluator {
  private mutating func variable(_ path: VariablePath, _ fallback: Rule) throws(RuleError) -> JSONValue {
    // Arguments come first in the engine, so a default that fails does so even when it is not needed.
    let fallback = try evaluate(fallback)
    return try find(path) ?? fallback
  }

  /// The value at `path`; `nil` when it is missing or null.
  func find(_ path: VariablePath) throws(RuleError) -> JSONValue? {
    let found: JSONValue?
    switch (path.root, item) {
    case (.wholeData, let item?): found = item
    case (.wholeData, nil): found = context.wholeData(flagKey: flagKey)
    case (.nothing, _): return .null
    case (.slot(let slot), nil): found = context.value(of: slot)
    case (.header(let name), nil): found = context.header(name)
    case (.flagKey, nil): found = .string(flagKey)
    case (.timestamp, nil): found = JSONValue(context.timestamp)
    default: found = try search(path.segments)
    }
    if case .null? = found { return nil }
    return found
  }

  /// Follows the segments; a scalar on the way is passed over, and the search goes on where it was.
  private func search(_ segments: [String]) throws(RuleError) -> JSONValue? {
    var container = item
    var found: JSONValue?
    for segment in segments {
      switch container {
      case nil: found = context.member(segment, flagKey: flagKey)
      case .object(let object)?: found = object[segment]
      case .array(let elements)?:
        let number = try Coercion.arithmetic(.string(segment), for: "var")
        guard let index = Int(exactly: number.rounded(.towardZero)), index >= 0 else { throw .wrongArgument("var") }
        guard index < elements.count else { return nil }
        found = elements[index]
      default: break
      }
      switch found {
      case nil, .null?: return nil
      case .array?, .object?: container = found
      default: break
      }
    }
    return found
  }

  /// `var` with an evaluated argument.
  private func variable(at argument: JSONValue) throws(RuleError) -> JSONValue {
    switch argument {
    case .null:
      switch item {
      case .bool?, .number?, .string?: return item ?? .null
      default: return .null
      }
    case .string(let path): return try find(VariablePath(path)) ?? .null
    case .number(let number): return try find(VariablePath(Coercion.decimal(number))) ?? .null
    case .array(let parts):
      guard let first = parts.first else { return try find(VariablePath("")) ?? .null }
      guard case .string(let path) = first else { throw .wrongArgument("var") }
      return try find(VariablePath(path, isListed: true)) ?? (parts.count == 2 ? parts[1] : .null)
    case .bool, .object: throw .wrongArgument("var")
    }
  }

  /// The value that `missing` looks for.
  func lookup(_ path: JSONValue) throws(RuleError) -> JSONValue { try variable(at: path) }
}

/// `fractional`.
extension RuleEvaluator {
  /// The decision of a prepared `fractional`; `nil` for none.
  package mutating func decide(_ rule: FractionalRule) throws(RuleError) -> FractionalDecision? {
    guard let bucketing = rule.bucketing else { return decide(.identity, rule.table) }
    let first = try evaluate(bucketing)
    let (basis, isShare) = Fractional.basis(of: first, generation)
    if isShare { return try decide(arguments: try evaluate(rule.arguments)) }
    return decide(basis, rule.table)
  }

  /// The decision over evaluated arguments.
  mutating func decide(arguments: JSONValue) throws(RuleError) -> FractionalDecision? {
    guard case .array(let values) = arguments, let first = values.first else { return nil }
    let (basis, isShare) = Fractional.basis(of: first, generation)
    return decide(basis, FractionalTable(isShare ? values[...] : values.dropFirst()))
  }

  private mutating func decide(_ basis: Fractional.Basis, _ table: FractionalTable?) -> FractionalDecision? {
    guard let table else { return nil }
    switch basis {
    case .none: return nil
    case .value(let value):
      usedFraction = true
      return table.decision(for: Fractional.hash(value, generation))
    case .identity:
      guard let hash = identityHash else { return nil }
      usedFraction = true
      return table.decision(for: hash)
    }
  }

  /// The hash of the flag's key and the targeting key; inside a list operator the item is all the data there is.
  private var identityHash: UInt32? {
    let key = item == nil ? context.value(of: .targetingKey) : item?["targetingKey"]
    let flag = item == nil ? .string(flagKey) : item?["$flagd"]?["flagKey"]
    guard case .string(let targetingKey)? = key else { return nil }
    return Fractional.hash(flagKey: flag?.string ?? "", targetingKey: targetingKey, generation)
  }
}
