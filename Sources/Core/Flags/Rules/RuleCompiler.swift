package import JSON

extension Rule {
  /// Compiles one rule.
  /// - Throws: only what makes the rule unusable as a whole: its size and its depth.
  package init(compiling source: JSONValue) throws(RuleError) {
    var compiler = RuleCompiler()
    self = try compiler.compile(source, depth: 0)
  }
}

struct RuleCompiler {
  private var nodes = 0

  mutating func compile(_ source: JSONValue, depth: Int) throws(RuleError) -> Rule {
    guard depth <= RuleLimits.depth else { throw .tooDeep }
    nodes += 1
    guard nodes <= RuleLimits.nodes else { throw .tooLarge }
    switch source {
    case .null, .bool, .number, .string: return .literal(source)
    case .array(let elements): return try list(elements, source, depth: depth)
    case .object(let object):
      guard object.count == 1, let member = object.members.first else {
        try count(source, depth: depth)
        return .literal(source)
      }
      return try operation(member.name, member.value, depth: depth + 1)
    }
  }

  private mutating func list(_ elements: [JSONValue], _ source: JSONValue, depth: Int) throws(RuleError) -> Rule {
    let rules = try all(elements, depth: depth)
    let isLiteral = rules.allSatisfy { if case .literal = $0 { true } else { false } }
    return isLiteral ? .literal(source) : .list(rules)
  }

  private mutating func all(_ elements: [JSONValue], depth: Int) throws(RuleError) -> [Rule] {
    var rules: [Rule] = []
    rules.reserveCapacity(elements.count)
    for element in elements { rules.append(try compile(element, depth: depth + 1)) }
    return rules
  }

  /// Data inside a rule costs as much as a rule.
  private mutating func count(_ value: JSONValue, depth: Int) throws(RuleError) {
    guard depth <= RuleLimits.depth else { throw .tooDeep }
    nodes += 1
    guard nodes <= RuleLimits.nodes else { throw .tooLarge }
    switch value {
    case .array(let elements): for element in elements { try count(element, depth: depth + 1) }
    case .object(let object): for member in object.members { try count(member.value, depth: depth + 1) }
    default: break
    }
  }

  private mutating func operation(_ name: String, _ source: JSONValue, depth: Int) throws(RuleError) -> Rule {
    guard let known = RuleOperator.named(name) else {
      // Compiled all the same: a limit that is broken is told whatever the operator is.
      _ = try compile(source, depth: depth)
      return .invalid(.unknownOperator(name))
    }
    switch known.evaluation {
    case .variable: return try variable(source, depth: depth)
    case .iteration(let iteration):
      try count(source, depth: depth)
      guard case .array(let parts) = source else { return .invalid(.wrongArgument(name)) }
      return .iteration(iteration, source: parts)
    case .lazy(let make): return lazy(try compile(source, depth: depth), name, make)
    case .strict(let body, let prepared):
      let arguments = try compile(source, depth: depth)
      let other = Self.elements(of: arguments).flatMap { prepared.rule($0, arguments) }
      return other ?? .call(Rule.Function(name: name, body: body), arguments)
    }
  }

  /// Operators that choose which arguments they evaluate need them written as a list.
  private func lazy(_ arguments: Rule, _ name: String, _ make: ([Rule]) -> Rule) -> Rule {
    guard let rules = Self.elements(of: arguments) else { return .invalid(.wrongArgument(name)) }
    return make(rules)
  }

  private mutating func variable(_ source: JSONValue, depth: Int) throws(RuleError) -> Rule {
    switch source {
    case .string(let path): return .variable(VariablePath(path), default: .literal(.null))
    case .number(let number): return .variable(VariablePath(Coercion.decimal(number)), default: .literal(.null))
    case .array(let parts):
      // The engine has evaluated default and path before it looks; only a literal path can be prepared.
      guard case .string(let path)? = parts.first else { break }
      let rest = try all(Array(parts.dropFirst()), depth: depth)
      guard rest.count <= 1 else { break }
      return .variable(VariablePath(path, isListed: true), default: rest.first ?? .literal(.null))
    default: break
    }
    return .computedVariable(try compile(source, depth: depth))
  }

  /// The arguments one by one when they are written as a list.
  private static func elements(of arguments: Rule) -> [Rule]? {
    switch arguments {
    case .list(let rules): rules
    case .literal(.array(let values)): values.map(Rule.literal)
    default: nil
    }
  }
}

/// Forms of operators that need no list of arguments at run time.
extension Rule {
  static func containment(_ needle: Rule, _ haystack: Rule) -> Rule {
    guard case .literal(.array(let values)) = haystack else { return .contains(needle, in: haystack) }
    let strings = values.compactMap(\.string)
    guard strings.count == values.count else { return .contains(needle, in: haystack) }
    return .membership(needle, StringSet(strings), list: values)
  }

  static func version(_ rules: [Rule]) -> Rule? {
    guard case .literal(.string(let symbol)) = rules[1], let comparison = SemanticComparison(rawValue: symbol) else {
      return nil
    }
    if case .literal(.string(let text)) = rules[2], let version = SemanticVersion(text, form: .flagd) {
      return .versionLiteral(rules[0], comparison, version)
    }
    return .version(rules[0], comparison, rules[2])
  }
}
