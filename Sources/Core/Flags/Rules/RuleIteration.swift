internal import JSON

/// `map`, `filter`, `reduce`, `all`, `some` and `none`.
///
/// The engine rewrites the logic of some of them with data before it runs it, so the logic is compiled when it is
/// met. None of them is in the portable profile.
extension RuleEvaluator {
  mutating func iterate(_ iteration: Rule.Iteration, _ source: [JSONValue]) throws(RuleError) -> JSONValue {
    switch iteration {
    case .map, .filter:
      guard source.count >= 2, let elements = try subject(source, iteration) else { return .array([]) }
      return try iteration == .map ? map(elements, source[1]) : filter(elements, source[1])
    case .reduce: return try reduce(source)
    case .all, .some, .none: return .bool(try quantify(iteration, source))
    }
  }

  /// The list that is gone through; `nil` for null and for literals that are none.
  private mutating func subject(
    _ source: [JSONValue], _ iteration: Rule.Iteration
  ) throws(RuleError) -> [JSONValue]? {
    switch source.first {
    case .array(let elements)?: return elements
    case .object?:
      switch try evaluate(try compiled(source[0])) {
      case .array(let elements): return elements
      case .null: return nil
      default: throw .wrongArgument(iteration.rawValue)
      }
    default: return nil
    }
  }

  private mutating func map(_ elements: [JSONValue], _ logic: JSONValue) throws(RuleError) -> JSONValue {
    let rule = try compiled(logic)
    var result: [JSONValue] = []
    for element in elements { result.append(try evaluate(rule, over: element)) }
    return .array(result)
  }

  private mutating func filter(_ elements: [JSONValue], _ logic: JSONValue) throws(RuleError) -> JSONValue {
    let rule = try compiled(try resolved(logic))
    var result: [JSONValue] = []
    for element in elements where Coercion.isTrue(try evaluate(rule, over: element)) { result.append(element) }
    return .array(result)
  }

  private mutating func quantify(_ iteration: Rule.Iteration, _ source: [JSONValue]) throws(RuleError) -> Bool {
    guard let elements = try subject(source, iteration), !elements.isEmpty else { return iteration == .none }
    guard source.count >= 2 else { throw .wrongArgument(iteration.rawValue) }
    let rule = try compiled(iteration == .all ? source[1] : try resolved(source[1]))
    for element in elements {
      let holds = Coercion.isTrue(try evaluate(rule, over: element))
      if holds != (iteration == .all) { return iteration == .some }
    }
    return iteration != .some
  }

  private mutating func reduce(_ source: [JSONValue]) throws(RuleError) -> JSONValue {
    guard source.count >= 3 else { return 0 }
    var accumulator = try evaluate(try compiled(source[2]))
    let kind: String
    switch accumulator {
    case .bool: kind = "bool"
    case .number: kind = "number"
    case .string: kind = "string"
    default: throw .wrongArgument("reduce")
    }
    guard let elements = try subject(source, .reduce) else { return 0 }
    let rule = try compiled(source[1])
    for element in elements where !element.isNull {
      let data: JSONValue = ["current": element, "accumulator": accumulator, "valueType": .string(kind)]
      let value = try evaluate(rule, over: data)
      switch kind {
      case "bool": accumulator = .bool(Coercion.isTrue(value))
      case "number": accumulator = .number(try Coercion.arithmetic(value, for: "reduce"))
      default: accumulator = .string(try Coercion.text(value, for: "reduce"))
      }
    }
    return accumulator
  }

  /// Compiling at run time is work too.
  private mutating func compiled(_ source: JSONValue) throws(RuleError) -> Rule {
    try spend(Self.size(of: source))
    return try Rule(compiling: source)
  }

  private static func size(of value: JSONValue) -> Int {
    switch value {
    case .array(let elements): elements.reduce(1) { $0 + size(of: $1) }
    case .object(let object): object.members.reduce(1) { $0 + size(of: $1.value) }
    default: 1
    }
  }

  /// The logic with every variable that the outer data knows put in its place.
  private func resolved(_ logic: JSONValue) throws(RuleError) -> JSONValue {
    switch logic {
    case .array(let elements):
      var result: [JSONValue] = []
      for element in elements { result.append(try resolved(element)) }
      return .array(result)
    case .object(let object):
      var result = JSONObject()
      for member in object.members {
        guard member.name == "var" else {
          result[member.name] = try resolved(member.value)
          continue
        }
        // "" and paths that begin with a dot are the element's own.
        if case .string(let path) = member.value, path.isEmpty || path.utf8.first == UInt8(ascii: ".") {
          result["var"] = member.value
        } else if let known = try outerValue(member.value) {
          return known
        } else {
          result["var"] = Self.isEmptyPath(member.value) ? "" : member.value
        }
      }
      return .object(result)
    default: return logic
    }
  }

  private func outerValue(_ path: JSONValue) throws(RuleError) -> JSONValue? {
    if Self.isEmptyPath(path) { return nil }
    let value = try lookup(path)
    return value.isNull ? nil : value
  }

  private static func isEmptyPath(_ path: JSONValue) -> Bool {
    if case .array(let parts) = path { return parts.allSatisfy { !Coercion.isTrue($0) } }
    return false
  }
}
