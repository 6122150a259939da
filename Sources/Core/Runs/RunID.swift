import Bytes

/// What a run is called in keys and paths: 1 to 128 of the characters that a URL needs no escape for (RFC 3986, section
/// 2.3). Nothing else ever gets into a key.
package struct RunID: Hashable, Sendable, CustomStringConvertible {
  package static let longest = 128

  package let description: String

  package init?(_ text: String) {
    var isValid = false
    text.utf8Span.span.isRunID(&isValid)
    guard isValid else { return nil }
    description = text
  }

  package init?(parsing text: Span<UInt8>) {
    var isValid = false
    text.isRunID(&isValid)
    guard isValid else { return nil }
    description = String(copying: text)
  }
}

extension Span where Element == UInt8 {
  fileprivate func isRunID(_ result: inout Bool) {
    guard count > 0, count <= RunID.longest else { return }
    for index in indices {
      switch self[index] {
      case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"),
        UInt8(ascii: "-"):
        continue
      default: return
      }
    }
    result = true
  }
}
