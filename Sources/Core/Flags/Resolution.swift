package import JSON

/// The name of a flag; never empty.
package struct FlagKey: Hashable, Sendable, CustomStringConvertible {
  package let description: String

  package init?(_ text: String) {
    guard !text.isEmpty else { return nil }
    description = text
  }

  private init(known text: String) { description = text }

  /// The flag that decides how a stream is closed.
  package static let streamClosing = FlagKey(known: "stream-closing")

  /// The variants that have a meaning; `nil` where any has.
  var knownVariants: [String]? { self == .streamClosing ? ["legacy", "shield", "graceful"] : nil }

  /// A variant without a meaning is most likely a known one, misspelt.
  func strangeVariants(of flag: FlagDefinition) -> [FlagFault] {
    guard let known = knownVariants else { return [] }
    let pointer = JSONPointer(["flags", description, "variants"])
    return flag.variants.filter { !known.contains($0.name) }.map { variant in
      let hint = Spelling.nearest(to: variant.name, among: known).map { "; did you mean \"\($0)\"?" } ?? ""
      let names = known.joined(separator: ", ")
      return FlagFault(pointer.appending(variant.name), "is none of the modes \(names)\(hint)")
    }
  }
}

/// What a flag said for one context, in OpenFeature's terms.
package struct Resolution: Equatable, Sendable {
  package enum Reason: String, Sendable, CaseIterable {
    /// The default variant of a flag without a rule.
    case `static` = "STATIC"
    /// The rule decided nothing.
    case `default` = "DEFAULT"
    case targetingMatch = "TARGETING_MATCH"
    case disabled = "DISABLED"
    case error = "ERROR"
  }

  package enum ErrorCode: String, Sendable, CaseIterable {
    case flagNotFound = "FLAG_NOT_FOUND"
    /// The rule cannot be evaluated.
    case parseError = "PARSE_ERROR"
    case typeMismatch = "TYPE_MISMATCH"
    /// The rule named no variant of the flag.
    case general = "GENERAL"
  }

  /// `nil` means that the caller's own default holds.
  package var variant: String?
  /// The variant's value; `nil` together with `variant`.
  package var value: JSONValue?
  package var reason: Reason
  package var errorCode: ErrorCode?
  /// Whether a fraction over clients' identities was asked: then chance alone chose between its variants.
  package var isByFraction = false

  static func failed(_ code: ErrorCode) -> Self {
    Resolution(variant: nil, value: nil, reason: .error, errorCode: code)
  }

  /// The same answer to a caller who wants a value of `kind`: TYPE_MISMATCH when it is another.
  package func required(_ kind: FlagValueKind) -> Self {
    guard let value, FlagValueKind(of: value) != kind else { return self }
    return .failed(.typeMismatch)
  }
}

/// The types that the variants of a flag may have; all of one flag have the same.
package enum FlagValueKind: String, Sendable, CaseIterable {
  case boolean, number, string, object

  /// `nil` for null and lists, which no variant may be.
  package init?(of value: JSONValue) {
    switch value {
    case .bool: self = .boolean
    case .number: self = .number
    case .string: self = .string
    case .object: self = .object
    case .null, .array: return nil
    }
  }
}
