package import JSON

/// Why a flag answered as it did: the way through its rule, one step a line.
package struct Explanation: Sendable {
  package struct Step: Equatable, Sendable {
    /// Where in the flag file.
    package var pointer: JSONPointer
    package var text: String
  }

  package private(set) var steps: [Step] = []
  private let flag: FlagDefinition
  private let context: EvaluationContext
  private let generation: FractionalGeneration

  /// The steps of `flag` in `context`. The answer itself is `FlagDefinition.evaluate`.
  package init(_ flag: FlagDefinition, _ context: EvaluationContext, _ generation: FractionalGeneration) {
    self.flag = flag
    self.context = context
    self.generation = generation
    let pointer = JSONPointer(["flags", flag.key])
    if !flag.isEnabled {
      note(pointer.appending("state"), "DISABLED: the caller's own default holds")
    } else if let rule = flag.targeting {
      walk(rule, pointer.appending("targeting"))
    } else {
      note(pointer.appending("targeting"), "there is no rule")
    }
    conclude(flag.evaluate(context, generation), pointer)
  }

  private mutating func conclude(_ resolution: Resolution, _ pointer: JSONPointer) {
    switch resolution.reason {
    case .targetingMatch: note(pointer.appending("targeting"), "the rule names \"\(resolution.variant ?? "")\"")
    case .static, .default:
      let place = pointer.appending("defaultVariant")
      note(
        place, resolution.variant.map { "the default variant \"\($0)\" holds" } ?? "no default: the caller's own holds")
    case .error where resolution.errorCode == .general: note(pointer, "the rule's result is not one of the variants")
    case .error: note(pointer, "the rule cannot be evaluated: the caller's own default holds")
    case .disabled: break
    }
  }

  private mutating func walk(_ rule: JSONValue, _ pointer: JSONPointer) {
    guard let member = rule.object?.members.first, rule.object?.count == 1 else {
      return note(pointer, "gives \(rule.text())")
    }
    let place = pointer.appending(member.name)
    switch (member.name, member.value) {
    case ("if", .array(let clauses)), ("?:", .array(let clauses)): walkClauses(clauses, place)
    case ("fractional", .array): walkFractional(rule, place)
    default: note(pointer, "\(rule.text()) gives \(result(of: rule))")
    }
  }

  private mutating func walkClauses(_ clauses: [JSONValue], _ pointer: JSONPointer) {
    var index = 0
    while index + 1 < clauses.count {
      let condition = clauses[index]
      let value = evaluate(condition)
      let holds = value.map(Coercion.isTrue) ?? false
      note(pointer.appending(index), "\(condition.text()) is \(result(of: condition)): \(holds ? "yes" : "no")")
      guard value != nil else { return }
      if holds { return walk(clauses[index + 1], pointer.appending(index + 1)) }
      index += 2
    }
    if index < clauses.count { walk(clauses[index], pointer.appending(index)) }
  }

  private mutating func walkFractional(_ rule: JSONValue, _ pointer: JSONPointer) {
    var evaluator = RuleEvaluator(context: context, flagKey: flag.key, generation: generation)
    guard let compiled = try? Rule(compiling: rule) else { return }
    let decision: FractionalDecision?
    switch compiled {
    case .fractional(let prepared): decision = (try? evaluator.decide(prepared)) ?? nil
    case .call(_, let arguments): decision = (try? evaluator.decide(arguments: evaluator.evaluate(arguments))) ?? nil
    default: decision = nil
    }
    guard let decision else {
      let hasKey = context.value(of: .targetingKey)?.string?.isEmpty == false
      return note(pointer, hasKey ? "decides nothing" : "decides nothing: there is no targeting key")
    }
    let share = Double(decision.bucket) / Double(decision.total) * 100
    let percent = JSONValue.text(of: (share * 100).rounded() / 100)
    note(
      pointer,
      "hash \(decision.hash) (\(generation.rawValue)) is bucket \(decision.bucket) of \(decision.total), at \(percent) %: "
        + decision.variant.text())
  }

  private func evaluate(_ rule: JSONValue) -> JSONValue? {
    var evaluator = RuleEvaluator(context: context, flagKey: flag.key, generation: generation)
    return try? evaluator.evaluate(Rule(compiling: rule))
  }

  private func result(of rule: JSONValue) -> String {
    var evaluator = RuleEvaluator(context: context, flagKey: flag.key, generation: generation)
    do {
      return try evaluator.evaluate(Rule(compiling: rule)).text()
    } catch {
      return "an error (\(error))"
    }
  }

  private mutating func note(_ pointer: JSONPointer, _ text: String) {
    steps.append(Step(pointer: pointer, text: text))
  }
}
