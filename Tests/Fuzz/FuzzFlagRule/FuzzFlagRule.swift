import Flags
import JSON

/// Two lines, a rule and the data it runs over:
/// - compiling and evaluating end, with a value or an error, within their limits;
/// - the same rule over the same data has the same result;
/// - numbers in results are finite.
@c(LLVMFuzzerTestOneInput)
func fuzzFlagRule(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  let input = Array(UnsafeBufferPointer(start: data, count: size))
  let lines = input.split(separator: 0x0A, maxSplits: 1)
  guard let first = lines.first, let source = try? JSONValue(parsing: [UInt8](first)) else { return 0 }
  let second = lines.count > 1 ? try? JSONValue(parsing: [UInt8](lines[1])) : nil
  guard let rule = try? Rule(compiling: source) else { return 0 }
  let context = EvaluationContext(
    targetingKey: "key", client: "client", version: "1.2.3", attributes: second?.object ?? JSONObject(), timestamp: 1)
  for generation in FractionalGeneration.allCases {
    var once = RuleEvaluator(context: context, flagKey: "f", generation: generation)
    var twice = RuleEvaluator(context: context, flagKey: "f", generation: generation)
    let results = (try? once.evaluate(rule), try? twice.evaluate(rule))
    precondition(results.0 == results.1)
    if let result = results.0 { precondition(isFinite(result)) }
    if let second { _ = try? once.evaluate(rule, over: second) }
  }
  _ = PortableProfile.faults(in: source, at: JSONPointer())
  return 0
}

private func isFinite(_ value: JSONValue) -> Bool {
  switch value {
  case .number(let number): number.isFinite
  case .array(let elements): elements.allSatisfy(isFinite)
  case .object(let object): object.members.allSatisfy { isFinite($0.value) }
  default: true
  }
}
