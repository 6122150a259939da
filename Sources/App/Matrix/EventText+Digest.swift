internal import Flags

extension EventText {
  static func digest(_ text: String) -> String { SHA256.hexadecimal(Array(text.utf8)) }
}
