package import JSON

/// One flag, compiled.
package struct FlagDefinition: Sendable {
  package struct Variant: Equatable, Sendable {
    package var name: String
    package var value: JSONValue
  }

  package let key: String
  package let isEnabled: Bool
  package let variants: [Variant]
  /// Position of the default in `variants`.
  package let defaultIndex: Int?
  /// `nil` when the flag has no rule.
  package let rule: Rule?
  /// The rule as JSON, references resolved.
  package let targeting: JSONValue?
  /// The set's metadata with the flag's own laid over it.
  package let metadata: JSONObject

  package var defaultVariant: String? { defaultIndex.map { variants[$0].name } }

  /// Reads one member of `flags` as the daemon does: what is not checked by the linter is taken as it is.
  /// - Throws: the fault, with the flag's pointer before it, that makes the file unusable.
  init(
    key: String, _ source: JSONObject, metadata: JSONObject, evaluators: JSONObject, pointer: JSONPointer
  ) throws(FlagFault) {
    self.key = key
    self.isEnabled = source["state"] != "DISABLED"
    self.metadata = (source["metadata"]?.object ?? JSONObject()).members.reduce(into: metadata) {
      $0[$1.name] = $1.value
    }
    guard case .object(let variants)? = source["variants"] else {
      throw FlagFault(pointer.appending("variants"), "must be an object")
    }
    self.variants = variants.members.map { Variant(name: $0.name, value: $0.value) }
    switch source["defaultVariant"] {
    case nil, .null?, .string("")?: defaultIndex = nil
    case .string(let name)?:
      guard let index = self.variants.firstIndex(where: { $0.name.sameBytes(as: name) }) else {
        throw FlagFault(pointer.appending("defaultVariant"), "\"\(name)\" is not one of the variants")
      }
      defaultIndex = index
    default: throw FlagFault(pointer.appending("defaultVariant"), "must be a string or null")
    }
    let isEmpty = source["targeting"]?.object?.isEmpty ?? (source["targeting"] == nil)
    guard !isEmpty, let written = source["targeting"] else {
      targeting = nil
      rule = nil
      return
    }
    do {
      let resolved = Self.resolveReferences(in: written, evaluators)
      targeting = resolved
      rule = try Rule(compiling: resolved)
    } catch {
      throw FlagFault(pointer.appending("targeting"), error.description)
    }
  }

  /// A flag without rule, for the built-in set.
  init(key: String, variants: [Variant], defaultIndex: Int) {
    self.key = key
    self.isEnabled = true
    self.variants = variants
    self.defaultIndex = defaultIndex
    self.rule = nil
    self.targeting = nil
    self.metadata = JSONObject()
  }

  /// `{"$ref": name}` replaced by the evaluator of that name, one level deep; unknown names stay and become an
  /// unknown operator.
  private static func resolveReferences(in value: JSONValue, _ evaluators: JSONObject) -> JSONValue {
    switch value {
    case .array(let elements): return .array(elements.map { resolveReferences(in: $0, evaluators) })
    case .object(let object):
      if object.count == 1, case .string(let name)? = object["$ref"], let evaluator = evaluators[name] {
        return evaluator
      }
      return .object(
        JSONObject(
          object.members.map { JSONObject.Member(name: $0.name, value: resolveReferences(in: $0.value, evaluators)) }))
    default: return value
    }
  }
}

extension FlagDefinition {
  /// Whether what the flag gave is taken back from streams that are open too: what `fermata flags kill --hard` writes
  /// beside the state DISABLED.
  package var isKilledHard: Bool { !isEnabled && metadata[FlagEdit.killMember] == .string(FlagEdit.hardKill) }

  /// The flag's answer in `context`.
  package func evaluate(_ context: EvaluationContext, _ generation: FractionalGeneration) -> Resolution {
    guard isEnabled else { return Resolution(variant: nil, value: nil, reason: .disabled, errorCode: nil) }
    guard let rule else { return fallback(.static) }
    var evaluator = RuleEvaluator(context: context, flagKey: key, generation: generation)
    do {
      var resolution = resolve(try evaluator.evaluate(rule))
      resolution.isByFraction = evaluator.usedFraction
      return resolution
    } catch {
      return .failed(.parseError)
    }
  }

  /// What the rule's result means for this flag.
  package func resolve(_ result: JSONValue) -> Resolution {
    let index: Int?
    switch result {
    case .null: return fallback(.default)
    case .string(let text): index = position(of: Self.isPlain(text) ? text : Self.goText(text))
    case .bool(let value): index = position(of: value ? "true" : "false")
    case .number(let number): index = position(of: JSONValue.text(of: number))
    case .array, .object: index = nil
    }
    guard let index else { return .failed(.general) }
    let variant = variants[index]
    return Resolution(variant: variant.name, value: variant.value, reason: .targetingMatch, errorCode: nil)
  }

  private func fallback(_ reason: Resolution.Reason) -> Resolution {
    guard let defaultIndex else { return Resolution(variant: nil, value: nil, reason: .default, errorCode: nil) }
    let variant = variants[defaultIndex]
    return Resolution(variant: variant.name, value: variant.value, reason: reason, errorCode: nil)
  }

  private func position(of name: String) -> Int? {
    variants.firstIndex { $0.name.sameBytes(as: name) }
  }

  /// Whether Go's JSON text of `text` is `text` itself between quotes.
  private static func isPlain(_ text: String) -> Bool {
    let bytes = text.utf8Span.span
    for index in bytes.indices {
      switch bytes[index] {
      case 0..<0x20, UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "&"), UInt8(ascii: "\""), UInt8(ascii: "\\"),
        0xE2:
        return false
      default: continue
      }
    }
    return true
  }

  /// The daemon takes a variant's name from the result's JSON text, as Go writes it, with all quotes taken out; so
  /// a name with any of these characters is looked for in their escaped form.
  private static func goText(_ text: String) -> String {
    let escapes: [Unicode.Scalar: String] = [
      "<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\"": "\\", "\\": "\\\\", "\u{2028}": "\\u2028",
      "\u{2029}": "\\u2029", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\u{8}": "\\b", "\u{c}": "\\f",
    ]
    return text.unicodeScalars.map { scalar in
      if let escape = escapes[scalar] { return escape }
      guard scalar.value < 0x20 else { return String(scalar) }
      return "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
    }.joined()
  }
}
