internal import JSON

/// One operator that rules may call. What is known of it stands in its row of ``table``, and nowhere else.
package struct RuleOperator: Sendable {
  package let name: String
  let evaluation: Evaluation
  let arguments: ArgumentRule
  let portability: PortabilityRule
  /// What it results in, in a few words.
  package let meaning: String

  /// What the compiler makes of a call.
  enum Evaluation: Sendable {
    /// `var`: the path is prepared.
    case variable
    /// The arguments are given on as they are written.
    case iteration(Rule.Iteration)
    /// It chooses which of its arguments are evaluated.
    case lazy(@Sendable ([Rule]) -> Rule)
    /// It gets its arguments evaluated. Where they are written as a list, another form may need none at run time.
    case strict(Rule.Function.Body, Prepared)
  }

  /// The form of a call for which no list of arguments has to be made.
  struct Prepared: Sendable {
    fileprivate let count: ClosedRange<Int>
    fileprivate let make: @Sendable (_ arguments: [Rule], _ whole: Rule) -> Rule?

    /// - Parameter whole: the same arguments as one rule.
    /// - Returns: `nil` when there is none for these.
    func rule(_ arguments: [Rule], _ whole: Rule) -> Rule? {
      count.contains(arguments.count) ? make(arguments, whole) : nil
    }

    fileprivate static let never = Prepared(count: 0...0) { _, _ in nil }

    fileprivate static func of(_ count: Int, _ make: @escaping @Sendable ([Rule]) -> Rule?) -> Prepared {
      Prepared(count: count...count) { arguments, _ in make(arguments) }
    }
  }

  /// What the published schema of rules allows as arguments.
  enum ArgumentRule: Sendable {
    /// So many in a list.
    case count(ClosedRange<Int>)
    case path, paths, shares, versions, affix
    /// It leaves them open.
    case any
    /// It has no such operator: only Go's engine has.
    case notInSchema
    /// It has no such operator, and nobody writes it: the linter does not know it either.
    case unknown

    static func atLeast(_ least: Int) -> ArgumentRule { .count(least...RuleLimits.nodes) }
  }

  /// When Go's, JavaScript's and Python's engines evaluate it alike.
  enum PortabilityRule: Sendable {
    /// With any arguments.
    case always
    case variable, conditional, junction, negation, equality, order, containment, concatenation, arithmetic, shares
    /// Never for sure.
    case never
  }

  /// Whether all engines evaluate it alike, at least with arguments that the linter does not warn of.
  package var isPortable: Bool {
    if case .never = portability { return false }
    return true
  }

  static func named(_ name: String) -> RuleOperator? { byName[name] }

  private static let byName = Dictionary(uniqueKeysWithValues: table.map { ($0.name, $0) })

  private init(
    _ name: String, _ evaluation: Evaluation, _ arguments: ArgumentRule, _ portability: PortabilityRule,
    _ meaning: String
  ) {
    self.name = name
    self.evaluation = evaluation
    self.arguments = arguments
    self.portability = portability
    self.meaning = meaning
  }

  private init(
    strict name: String, _ arguments: ArgumentRule, _ portability: PortabilityRule, _ meaning: String,
    prepared: Prepared = .never, _ body: @escaping Rule.Function.Body
  ) {
    self.init(name, .strict(body, prepared), arguments, portability, meaning)
  }

  private init(
    _ comparison: Rule.Comparison, _ arguments: ArgumentRule, _ portability: PortabilityRule, _ meaning: String
  ) {
    self.init(
      strict: comparison.rawValue, arguments, portability, meaning,
      prepared: .of(2) { .comparison(comparison, $0[0], $0[1]) }
    ) { _, call throws(RuleError) in .bool(comparison.holds(try call.list)) }
  }

  private init(_ iteration: Rule.Iteration, _ arguments: ArgumentRule, _ meaning: String) {
    self.init(iteration.rawValue, .iteration(iteration), arguments, .never, meaning)
  }

  /// - Parameter takesBare: whether one value that is not in a list is an argument.
  private init(
    arithmetic name: String, takesBare: Bool = false, _ arguments: ArgumentRule, _ portability: PortabilityRule,
    _ meaning: String, _ fold: @escaping @Sendable ([Double]) throws(RuleError) -> Double?
  ) {
    self.init(strict: name, arguments, portability, meaning) { _, call throws(RuleError) in
      try ArithmeticOperators.apply(to: call, takesBare: takesBare, fold)
    }
  }

  // MARK: - The table

  package static let table: [RuleOperator] =
    data + logic + comparisons + arithmetic + texts + lists + rollout + flow + iterations

  private static let data: [RuleOperator] = [
    RuleOperator(
      strict: "missing", .paths, .never, "the paths that have no value"
    ) { evaluator, call throws(RuleError) in try evaluator.missing(call) },
    RuleOperator(
      strict: "missing_some", .count(2...2), .never, "the paths without a value, unless so many have one"
    ) { evaluator, call throws(RuleError) in try evaluator.missingSome(try call.list) },
  ]

  private static let logic: [RuleOperator] = [
    RuleOperator(
      strict: "!", .any, .negation, "whether the value is false, 0, empty or null",
      prepared: .of(1) { .truth($0[0], negated: true) }
    ) { _, call throws(RuleError) in .bool(!Coercion.isTrue(call.first)) },
    RuleOperator(
      strict: "!!", .any, .negation, "the opposite of `!`",
      prepared: .of(1) { .truth($0[0], negated: false) }
    ) { _, call throws(RuleError) in .bool(Coercion.isTrue(call.first)) },
  ]

  private static let comparisons: [RuleOperator] = [
    RuleOperator(.equal, .count(2...2), .equality, "whether two values are equal, types converted"),
    RuleOperator(.notEqual, .count(2...2), .equality, "the opposite of `==`"),
    RuleOperator(.identical, .count(2...2), .equality, "whether two values of one type are equal"),
    RuleOperator(.notIdentical, .count(2...2), .equality, "the opposite of `===`"),
    RuleOperator(.less, .count(2...3), .order, "whether the values rise; three are a chain"),
    RuleOperator(.lessOrEqual, .count(2...3), .order, "whether no value is below the one before it"),
    RuleOperator(.greater, .count(2...2), .order, "whether the first value is above the second"),
    RuleOperator(.greaterOrEqual, .count(2...2), .order, "whether the first value is not below the second"),
  ]

  private static let arithmetic: [RuleOperator] = [
    RuleOperator(arithmetic: "+", takesBare: true, .atLeast(1), .arithmetic, "the sum") { $0.reduce(0, +) },
    RuleOperator(arithmetic: "-", .atLeast(1), .arithmetic, "the difference; one value negated") { numbers in
      guard let first = numbers.first else { return 0 }
      return numbers.count == 1 ? -first : numbers.dropFirst().reduce(first, -)
    },
    RuleOperator(arithmetic: "*", takesBare: true, .atLeast(2), .arithmetic, "the product") { $0.reduce(1, *) },
    RuleOperator(arithmetic: "/", .count(2...2), .never, "the quotient") { numbers in
      numbers.first.map { numbers.dropFirst().reduce($0, /) } ?? 0
    },
    RuleOperator(arithmetic: "%", .count(2...2), .never, "the remainder") { numbers throws(RuleError) in
      guard numbers.count >= 2 else { throw .wrongArgument("%") }
      return numbers[0].truncatingRemainder(dividingBy: numbers[1])
    },
    RuleOperator(arithmetic: "min", .atLeast(1), .never, "the least number") { $0.min() },
    RuleOperator(arithmetic: "max", .atLeast(1), .never, "the greatest number") { $0.max() },
    RuleOperator(
      arithmetic: "abs", takesBare: true, .notInSchema, .never, "the number without its sign"
    ) { numbers throws(RuleError) in
      guard let first = numbers.first else { throw .wrongArgument("abs") }
      return abs(first)
    },
  ]

  private static let texts: [RuleOperator] = [
    RuleOperator(strict: "cat", .atLeast(1), .concatenation, "the values joined as a text") {
      _, call throws(RuleError) in try TextOperators.concatenate(call.arguments)
    },
    RuleOperator(strict: "substr", .count(2...3), .never, "a part of a text: where it begins, and its length") {
      _, call throws(RuleError) in try TextOperators.substring(try call.list)
    },
  ]

  private static let lists: [RuleOperator] = [
    RuleOperator(
      strict: "in", .count(2...2), .containment, "whether a list has the value, or a text the part",
      prepared: .of(2) { Rule.containment($0[0], $0[1]) }
    ) { _, call throws(RuleError) in
      let values = try call.list
      guard let needle = values.first else { throw call.wrongArgument }
      return .bool(try ListOperators.contains(needle, in: values.count > 1 ? values[1] : .null))
    },
    RuleOperator(strict: "contains_all", .notInSchema, .never, "whether a list has all values of another") {
      _, call throws(RuleError) in
      let (list, wanted) = try call.pair
      return .bool(wanted.allSatisfy(list.contains))
    },
    RuleOperator(strict: "contains_any", .notInSchema, .never, "whether a list has any value of another") {
      _, call throws(RuleError) in
      let (list, wanted) = try call.pair
      return .bool(wanted.contains(where: list.contains))
    },
    RuleOperator(strict: "contains_none", .notInSchema, .never, "whether a list has no value of another") {
      _, call throws(RuleError) in
      let (list, wanted) = try call.pair
      return .bool(!wanted.contains(where: list.contains))
    },
    RuleOperator(strict: "merge", .atLeast(1), .never, "one list of the values and the elements of lists") {
      evaluator, call throws(RuleError) in
      let merged = try ListOperators.merge(call.arguments)
      try evaluator.spend(merged.count)
      return .array(merged)
    },
    RuleOperator(strict: "set", .notInSchema, .never, "an object with another value for a member") {
      _, call throws(RuleError) in try ListOperators.set(try call.list)
    },
  ]

  private static let rollout: [RuleOperator] = [
    RuleOperator(
      strict: "starts_with", .affix, .always, "whether a text begins so",
      prepared: .of(2) { .affix($0[0], $0[1], atEnd: false) }
    ) { _, call throws(RuleError) in TextOperators.hasAffix(call.arguments, atEnd: false) },
    RuleOperator(
      strict: "ends_with", .affix, .always, "whether a text ends so",
      prepared: .of(2) { .affix($0[0], $0[1], atEnd: true) }
    ) { _, call throws(RuleError) in TextOperators.hasAffix(call.arguments, atEnd: true) },
    RuleOperator(
      strict: "sem_ver", .versions, .always, "whether two semantic versions compare so",
      prepared: .of(3, Rule.version)
    ) { _, call throws(RuleError) in
      guard let values = call.arguments.array, values.count == 3, case .string(let symbol) = values[1],
        let comparison = SemanticComparison(rawValue: symbol)
      else { return .null }
      return comparison.result(values[0], values[2])
    },
    RuleOperator(
      strict: "fractional", .shares, .shares, "a variant by chance, the same for one client",
      prepared: Prepared(count: 1...RuleLimits.nodes) { FractionalRule($0, arguments: $1).map(Rule.fractional) }
    ) { evaluator, call throws(RuleError) in try evaluator.decide(arguments: call.arguments)?.variant ?? .null },
  ]

  private static let flow: [RuleOperator] = [
    RuleOperator("var", .variable, .path, .variable, "the value at a path, or a default"),
    RuleOperator(
      "if", .lazy { .conditional($0) }, .atLeast(1), .conditional, "the value after the first condition that holds"),
    RuleOperator("?:", .lazy { .conditional($0) }, .unknown, .never, "another name of `if`"),
    RuleOperator(
      "and", .lazy { .junction($0, until: false) }, .atLeast(1), .junction, "the first false value, else the last"),
    RuleOperator(
      "or", .lazy { .junction($0, until: true) }, .atLeast(1), .junction, "the first true value, else the last"),
  ]

  private static let iterations: [RuleOperator] = [
    RuleOperator(.map, .count(2...2), "the list of what a rule makes of each element"),
    RuleOperator(.filter, .count(2...2), "the elements for which a rule holds"),
    RuleOperator(.reduce, .count(3...3), "what a rule makes of all elements, one after another"),
    RuleOperator(.all, .count(2...2), "whether a rule holds for all elements"),
    RuleOperator(.some, .count(2...2), "whether a rule holds for an element"),
    RuleOperator(.none, .count(2...2), "whether a rule holds for no element"),
  ]
}
