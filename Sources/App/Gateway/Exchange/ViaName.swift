import HTTP
import Processes

/// What this process calls itself in the `Via` of requests that it passes on. No other does, so a request that comes
/// back with it has gone in a circle.
enum ViaName {
  static let own: FieldValue = {
    let word = Host.randomWords(1)[0]
    let digits = String(word, radix: 16)
    return FieldValue("fermata-" + String(repeating: "0", count: 16 - digits.count) + digits)
      ?? FieldValue(literal: "fermata")
  }()
}
