import Bytes

extension Fields {
  /// Whether the client of a request with these fields accepts an answer of `type` (RFC 9110, 12.5.1). Without `Accept`
  /// it accepts anything; what a range with `q=0` is the closest to name, it does not. Parameters of types count for
  /// nothing.
  ///
  /// - Parameter type: a `Content-Type`; `nil` where there is none, which `*/*` alone accepts.
  package func accepts(_ type: Span<UInt8>?) -> Bool {
    guard contains(.accept) else { return true }
    var best = MediaRange.Fit.none
    var isWanted = false
    var next = firstIndex(of: .accept)
    while let index = next {
      var elements = ListElements(value(at: index))
      while let element = elements.next() {
        let range = MediaRange(element)
        let fit = range.fit(type)
        if fit > best || (fit == best && fit != .none && range.isWanted) { (best, isWanted) = (fit, range.isWanted) }
      }
      next = firstIndex(of: .accept, from: index + 1)
    }
    return isWanted
  }
}

/// One element of `Accept`.
private struct MediaRange: ~Escapable {
  /// How closely a range names a type.
  enum Fit: Int, Comparable {
    case none, anything, family, exact

    static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
  }

  private let range: Span<UInt8>
  let isWanted: Bool

  @_lifetime(copy element)
  init(_ element: Span<UInt8>) {
    let end = element.firstIndex(of: UInt8(ascii: ";")) ?? element.count
    range = element.extracting(first: end).trimmed
    isWanted = !MediaRange.hasZeroWeight(element.extracting(droppingFirst: end))
  }

  func fit(_ type: Span<UInt8>?) -> Fit {
    if range.equals("*/*") { return .anything }
    guard let type else { return .none }
    let end = type.firstIndex(of: UInt8(ascii: ";")) ?? type.count
    let name = type.extracting(first: end).trimmed
    if range.equalsIgnoringASCIICase(name) { return .exact }
    guard range.count > 2, range.extracting(droppingFirst: range.count - 2).equals("/*") else { return .none }
    let family = range.count - 1
    guard name.count > family else { return .none }
    return name.extracting(first: family).equalsIgnoringASCIICase(range.extracting(first: family)) ? .family : .none
  }

  /// Whether the parameters hold `q=0`, `q=0.0` and the like.
  private static func hasZeroWeight(_ parameters: Span<UInt8>) -> Bool {
    var rest = 0
    while rest < parameters.count {
      let end = parameters.firstIndex(of: UInt8(ascii: ";"), from: rest) ?? parameters.count
      let parameter = parameters.extracting(rest..<end).trimmed
      rest = end + 1
      guard parameter.count >= 3, parameter[0] | 0x20 == UInt8(ascii: "q"), parameter[1] == UInt8(ascii: "=") else {
        continue
      }
      return isZero(parameter.extracting(droppingFirst: 2))
    }
    return false
  }

  private static func isZero(_ weight: Span<UInt8>) -> Bool {
    for index in weight.indices where weight[index] != UInt8(ascii: "0") && weight[index] != UInt8(ascii: ".") {
      return false
    }
    return true
  }
}
