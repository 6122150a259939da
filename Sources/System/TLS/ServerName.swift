import Loop

/// The name or address that a peer must prove to be.
enum ServerName {
  case name(String)
  /// Certificates list addresses apart from names, and SNI has none (RFC 6066, section 3).
  case address(String)

  /// - Parameter text: a host name, with or without a dot at its end, or an address, IPv6 with or without brackets.
  /// - Returns: `nil` for what is neither.
  init?(_ text: String) {
    var text = text[...]
    if text.hasPrefix("["), text.hasSuffix("]") { text = text.dropFirst().dropLast() }
    if text.hasSuffix(".") { text = text.dropLast() }
    guard Self.isValid(text) else { return nil }
    let host = String(text)
    if SocketAddress(host: host, port: 0) != nil {
      self = .address(host)
    } else if !host.contains(":") {
      self = .name(host)
    } else {
      return nil
    }
  }

  var text: String {
    switch self {
    case .name(let text), .address(let text): text
    }
  }

  /// Whether it can be a name or an address at all: no control characters, no NUL that would end it early.
  static func isValid(_ text: some StringProtocol) -> Bool {
    !text.isEmpty && text.utf8.count <= 255
      && text.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
          UInt8(ascii: ":"):
          true
        default: false
        }
      }
  }
}
