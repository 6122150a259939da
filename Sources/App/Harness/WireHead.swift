/// The head of a message as text, read in the simplest way there is.
///
/// The harness reads HTTP by itself: a mistake in the gateway's parser must not be able to hide in its tests.
package struct WireHead: Sendable, CustomStringConvertible {
  /// The request or status line.
  package var startLine: String
  package var fields: [Script.Field]

  package init(startLine: String, fields: [Script.Field] = []) {
    self.startLine = startLine
    self.fields = fields
  }

  /// The head at the front of `bytes` and its length; `nil` when its blank line has not come.
  package static func parse(_ bytes: [UInt8]) -> (head: WireHead, length: Int)? {
    guard let length = end(of: bytes) else { return nil }
    let text = String(decoding: bytes[..<(length - 4)], as: UTF8.self)
    var lines = text.split(separator: "\r\n", omittingEmptySubsequences: false)[...]
    var head = WireHead(startLine: String(lines.popFirst() ?? ""))
    for line in lines {
      let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      let value = parts.count > 1 ? parts[1].drop { $0 == " " } : ""
      head.fields.append(Script.Field(String(parts[0]), String(value)))
    }
    return (head, length)
  }

  private static func end(of bytes: [UInt8]) -> Int? {
    guard bytes.count >= 4 else { return nil }
    for index in 3..<bytes.count where bytes[index] == 0x0A && bytes[index - 1] == 0x0D {
      if bytes[index - 2] == 0x0A && bytes[index - 3] == 0x0D { return index + 1 }
    }
    return nil
  }

  /// The value of the first field of that name, in any case.
  package func value(_ name: String) -> String? {
    let wanted = name.lowercased()
    return fields.first { $0.name.lowercased() == wanted }?.value
  }

  package func values(_ name: String) -> [String] {
    let wanted = name.lowercased()
    return fields.filter { $0.name.lowercased() == wanted }.map(\.value)
  }

  package var description: String {
    startLine + "\n" + fields.map { "\($0.name): \($0.value)\n" }.joined()
  }

  /// The words of the start line, at most three.
  package var words: [String] {
    startLine.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
  }

  /// A response's status; 0 when there is no number.
  package var status: Int {
    let words = words
    guard words.count > 1, words[0].hasPrefix("HTTP/1.") || words[0] == "HTTP/2" else { return 0 }
    return Int(words[1]) ?? 0
  }

  var isChunked: Bool { value("Transfer-Encoding")?.lowercased() == "chunked" }
  var length: Int? { value("Content-Length").flatMap { Int($0) } }

  /// Whether the sender keeps the connection for more.
  var keepsConnection: Bool {
    let option = value("Connection")?.lowercased()
    return startLine.contains("HTTP/1.0") ? option == "keep-alive" : option != "close"
  }
}
