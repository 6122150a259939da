internal import JSON

extension Rule.Comparison {
  func holds(_ left: JSONValue, _ right: JSONValue) -> Bool {
    switch self {
    case .equal: Self.equal(left, right)
    case .notEqual: !Self.equal(left, right)
    case .identical: Self.sameKind(left, right) && Self.equal(left, right)
    case .notIdentical: !(Self.sameKind(left, right) && Self.equal(left, right))
    case .less: Self.less(left, right)
    case .lessOrEqual: Self.less(left, right) || Self.equal(left, right)
    case .greater: Self.less(right, left)
    case .greaterOrEqual: Self.less(right, left) || Self.equal(left, right)
    }
  }

  /// Over any number of arguments: three are a chain, fewer than two never hold, more than three count as two.
  func holds(_ values: [JSONValue]) -> Bool {
    switch (self, values.count) {
    case (.equal, ..<2), (.notEqual, ..<2), (.identical, ..<2), (.notIdentical, ..<2): holdsPadded(values)
    case (_, ..<2): false
    case (.less, 3), (.lessOrEqual, 3), (.greater, 3), (.greaterOrEqual, 3):
      holds(values[0], values[1]) && holds(values[1], values[2])
    default: holds(values[0], values[1])
    }
  }

  /// What is not there is null.
  private func holdsPadded(_ values: [JSONValue]) -> Bool { holds(values.first ?? .null, .null) }

  private static func equal(_ left: JSONValue, _ right: JSONValue) -> Bool {
    switch (left, right) {
    case (.null, .null): true
    case (.null, _), (_, .null): false
    case (.string(let left), .string(let right)): left.sameBytes(as: right)
    default: Coercion.comparable(left) == Coercion.comparable(right)
    }
  }

  private static func less(_ left: JSONValue, _ right: JSONValue) -> Bool {
    if case (.string(let left), .string(let right)) = (left, right) { return Coercion.precedes(left, right) }
    return Coercion.comparable(left) < Coercion.comparable(right)
  }

  private static func sameKind(_ left: JSONValue, _ right: JSONValue) -> Bool {
    switch (left, right) {
    case (.null, .null), (.bool, .bool), (.number, .number), (.string, .string), (.array, .array), (.object, .object):
      true
    default: false
    }
  }
}

extension RuleEvaluator {
  func missing(_ call: Rule.Call) throws(RuleError) -> JSONValue {
    if case .string = call.arguments { return try missing([call.arguments]) }
    return try missing(try call.list)
  }

  private func missing(_ paths: [JSONValue]) throws(RuleError) -> JSONValue {
    var missing: [JSONValue] = []
    for path in paths where try lookup(path).isNull { missing.append(path) }
    return .array(missing)
  }

  /// The missing paths unless as many as wanted are there.
  func missingSome(_ arguments: [JSONValue]) throws(RuleError) -> JSONValue {
    guard arguments.count >= 2, case .array(let paths) = arguments[1] else { throw .wrongArgument("missing_some") }
    let wanted = try Coercion.arithmetic(arguments[0], for: "missing_some")
    guard case .array(let missing) = try missing(paths) else { return .array([]) }
    return .array(Double(paths.count - missing.count) >= wanted.rounded(.towardZero) ? [] : missing)
  }
}

extension Rule.Call {
  /// The arguments of an operator that compares two lists.
  var pair: (list: [JSONValue], wanted: [JSONValue]) {
    get throws(RuleError) {
      let arguments = try list
      guard arguments.count == 2, case (.array(let list), .array(let wanted)) = (arguments[0], arguments[1]) else {
        throw wrongArgument
      }
      // Both lists are bounded by the rule's size or the steps that built them, their product is not.
      guard list.count * wanted.count <= RuleLimits.steps else { throw .tooManySteps }
      return (list, wanted)
    }
  }
}

/// `+`, `-` and their kin.
enum ArithmeticOperators {
  /// - Parameters:
  ///   - takesBare: whether one value that is not in a list is an argument.
  ///   - fold: what is made of the numbers; `nil` for null.
  static func apply(
    to call: Rule.Call, takesBare: Bool, _ fold: ([Double]) throws(RuleError) -> Double?
  ) throws(RuleError) -> JSONValue {
    switch call.arguments {
    case .array(let values):
      var numbers: [Double] = []
      for value in values { numbers.append(try Coercion.arithmetic(value, for: call.name)) }
      return try finite(try fold(numbers))
    case .string, .number:
      guard takesBare else { throw call.wrongArgument }
      return try finite(try fold([try Coercion.arithmetic(call.arguments, for: call.name)]))
    default: throw call.wrongArgument
    }
  }

  private static func finite(_ number: Double?) throws(RuleError) -> JSONValue {
    guard let number else { return .null }
    guard number.isFinite else { throw .notFinite }
    return .number(number)
  }
}
