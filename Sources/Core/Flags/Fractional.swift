package import JSON

/// Which bytes `fractional` hashes. Changing it re-buckets everybody, so a file names it and keeps it.
package enum FractionalGeneration: String, Sendable, CaseIterable {
  /// The text itself: flagd 0.15 and 0.16.
  case v2
  /// Deterministic CBOR of any value.
  case v3
}

/// One decision of `fractional`, with how it came about.
package struct FractionalDecision: Equatable, Sendable {
  package var hash: UInt32
  /// 0 ..< total.
  package var bucket: UInt32
  package var total: UInt32
  package var variant: JSONValue
}

/// Variants and the ends of their shares of `total`.
package struct FractionalTable: Equatable, Sendable {
  private var variants: [JSONValue] = []
  private var ends: [UInt32] = []
  package private(set) var total: UInt32 = 0

  /// Weights are 31 bits, and so is their sum.
  private static let largest = Double(Int32.max)

  /// `nil` when an element is no `[variant, weight]`, or the weights are too large or all zero: no decision.
  init?(_ elements: ArraySlice<JSONValue>) {
    var sum: UInt64 = 0
    for element in elements {
      guard case .array(let pair) = element, let variant = pair.first, Self.isName(variant),
        let weight = Self.weight(pair.count > 1 ? pair[1] : .null)
      else { return nil }
      sum += weight
      guard sum <= UInt64(Int32.max) else { return nil }
      variants.append(variant)
      ends.append(UInt32(sum))
    }
    guard sum > 0 else { return nil }
    total = UInt32(sum)
  }

  func decision(for hash: UInt32) -> FractionalDecision {
    let bucket = UInt32((UInt64(hash) * UInt64(total)) >> 32)
    let index = ends.firstIndex { bucket < $0 } ?? ends.count - 1
    return FractionalDecision(hash: hash, bucket: bucket, total: total, variant: variants[index])
  }

  private static func isName(_ value: JSONValue) -> Bool {
    switch value {
    case .array, .object: false
    default: true
    }
  }

  /// A missing weight is 1, a negative one 0, and one that is no whole number is none.
  private static func weight(_ value: JSONValue) -> UInt64? {
    switch value {
    case .null: return 1
    case .number(let number):
      guard number.rounded() == number, number <= largest else { return nil }
      return number < 0 ? 0 : UInt64(number)
    default: return nil
    }
  }
}

/// A `fractional` whose variants and weights are literals, so that only a hash is left to do.
package struct FractionalRule: Sendable {
  /// The explicit bucketing value; `nil` when the first argument already is a share.
  let bucketing: Rule?
  /// `nil` when the shares allow no decision whatever the hash.
  let table: FractionalTable?
  /// All arguments, for a bucketing expression that turns out to be a share.
  let arguments: Rule

  /// `nil` when something else than the bucketing value has to be computed.
  init?(_ rules: [Rule], arguments: Rule) {
    var shares = rules[...]
    if case .literal(.array) = rules[0] { bucketing = nil } else { bucketing = shares.removeFirst() }
    var elements: [JSONValue] = []
    for share in shares {
      guard case .literal(let value) = share else { return nil }
      elements.append(value)
    }
    table = FractionalTable(elements[...])
    self.arguments = arguments
  }
}

/// The bucketing of `fractional`, apart from how its arguments are found.
enum Fractional {
  /// What decides the bucket.
  enum Basis {
    case value(JSONValue)
    /// The flag's key and the targeting key.
    case identity
    /// Nothing can be decided.
    case none
  }

  /// What the first evaluated argument means; `isShare` when it is the first share itself.
  static func basis(of first: JSONValue, _ generation: FractionalGeneration) -> (basis: Basis, isShare: Bool) {
    switch (generation, first) {
    case (.v2, .string): (.value(first), false)
    case (.v2, .null): (.identity, false)
    case (.v2, _): (.identity, true)
    case (.v3, .null): (.none, false)
    case (.v3, .array): (.identity, true)
    case (.v3, _): (.value(first), false)
    }
  }

  static func hash(_ value: JSONValue, _ generation: FractionalGeneration) -> UInt32 {
    var hash = MurmurHash3()
    switch (generation, value) {
    case (.v2, .string(let text)): hash.append(text)
    default: DeterministicCBOR.encode(value, into: &hash)
    }
    return hash.value
  }

  /// `nil` without a targeting key.
  static func hash(flagKey: String, targetingKey: String, _ generation: FractionalGeneration) -> UInt32? {
    guard !targetingKey.isEmpty else { return nil }
    var hash = MurmurHash3()
    switch generation {
    case .v2:
      hash.append(flagKey)
      hash.append(targetingKey)
    case .v3:
      DeterministicCBOR.encodeArrayHead(2, into: &hash)
      DeterministicCBOR.encode(flagKey, into: &hash)
      DeterministicCBOR.encode(targetingKey, into: &hash)
    }
    return hash.value
  }
}
