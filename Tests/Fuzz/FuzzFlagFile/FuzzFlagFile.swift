import Flags
import JSON

/// Any bytes, as a flag file:
/// - loading and linting end, with a set or with a fault that has a place;
/// - a file that the schema accepts, the daemon's leniency accepts too, and both answer alike;
/// - what is accepted, written again, is accepted and answers alike; a step of a rollout leaves it loadable.
@c(LLVMFuzzerTestOneInput)
func fuzzFlagFile(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  let input = Array(UnsafeBufferPointer(start: data, count: size))
  for fault in FlagLinter.lint(input) { precondition(fault.position.line >= 1 && !fault.message.isEmpty) }
  let lenient = try? FlagSet(parsing: input, strictness: .daemon)
  guard let set = try? FlagSet(parsing: input) else { return 0 }
  guard let lenient else { preconditionFailure("the schema accepts what the daemon refuses") }
  guard let again = try? FlagSet(parsing: FlagEdit.file(set.document)) else {
    preconditionFailure("a file that was read and written is refused")
  }
  let contexts = [
    EvaluationContext(), EvaluationContext(targetingKey: "k", client: "c", version: "1.2.3", isInternal: true),
    EvaluationContext(headers: [.init(name: "h", value: "v")], attributes: ["a": [1, ["b": "c"]], "n": 1.5]),
  ]
  for flag in set.flags {
    for context in contexts {
      let answer = set.evaluate(flag.key, context)
      precondition(answer == lenient.evaluate(flag.key, context) && answer == again.evaluate(flag.key, context))
      precondition(answer.variant == nil || answer.value != nil)
      precondition(!Explanation(flag, context, set.generation).steps.isEmpty)
    }
    _ = try? Rollout(of: flag.key, in: set.document)
    let disabled = FlagEdit.file(FlagEdit.revised(FlagEdit.setEnabled(false, flag.key, in: set.document), to: 2))
    precondition((try? FlagSet(parsing: disabled)) != nil || set.document["flags"]?.array != nil)
    precondition(Rebucketing.findings(from: set, to: set, key: flag.key).isEmpty)
  }
  _ = Redaction.redacted(set.document)
  return 0
}
