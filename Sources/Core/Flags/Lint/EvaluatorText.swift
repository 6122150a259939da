internal import JSON

/// What a shared evaluator may hold so that flagd's Python provider reads it.
///
/// That provider puts an evaluator into the rules as the replacement of a regular expression, written with escapes for
/// all that is not ASCII. A backslash in that text has a meaning of its own there: the provider refuses the whole file,
/// or reads another text.
enum EvaluatorText {
  /// An error for each text that is not read as it is written.
  static func faults(in evaluator: JSONValue, named name: String) -> [FlagFault] {
    let pointer = JSONPointer(["$evaluators", name])
    var faults: [FlagFault] = []
    if !isPlain(name) || name.contains("\"") {
      faults.append(fault(pointer, "the name has \(described(name, orQuote: true))"))
    }
    collect(evaluator, pointer, &faults)
    return faults
  }

  private static func collect(_ value: JSONValue, _ pointer: JSONPointer, _ faults: inout [FlagFault]) {
    switch value {
    case .string(let text):
      if !isPlain(text) { faults.append(fault(pointer, "the text has \(described(text, orQuote: false))")) }
    case .array(let elements):
      for (index, element) in elements.enumerated() { collect(element, pointer.appending(index), &faults) }
    case .object(let object):
      for member in object.members {
        let place = pointer.appending(member.name)
        if !isPlain(member.name) {
          faults.append(fault(place, "the name has \(described(member.name, orQuote: false))"))
        }
        collect(member.value, place, &faults)
      }
    case .null, .bool, .number: break
    }
  }

  private static func isPlain(_ text: String) -> Bool {
    text.utf8.allSatisfy { (0x20..<0x7F).contains($0) && $0 != UInt8(ascii: "\\") }
  }

  private static func described(_ text: String, orQuote: Bool) -> String {
    if text.utf8.contains(where: { $0 >= 0x80 }) { return "a character beyond ASCII" }
    if text.utf8.contains(UInt8(ascii: "\\")) { return "a backslash" }
    return orQuote && isPlain(text) ? "a quotation mark" : "a control character"
  }

  private static func fault(_ pointer: JSONPointer, _ what: String) -> FlagFault {
    FlagFault(
      pointer,
      "\(what): flagd's Python provider can't read that in \"$evaluators\"; take it out, or write it into the flag's own "
        + "targeting")
  }
}
