package import Time

/// Where Redis is and how it is used. Prints without its password.
package struct RedisSettings: Equatable, Sendable, CustomStringConvertible {
  package var host = "127.0.0.1"
  package var port: UInt16 = 6379
  package var usesTLS = false
  package var user: String?
  package var password: String?
  package var database = 0
  /// What the connections are called in `CLIENT LIST`.
  package var clientName = "fermata"
  /// Before every key and channel.
  package var prefix = "ai:"
  /// Writes run ids as `{id}`, so that in a Redis Cluster all keys of a run lie on one node.
  package var usesHashTags = false
  /// For making a connection, and for the answer to a command.
  package var connectTimeout = Nanoseconds.seconds(3)
  package var commandTimeout = Nanoseconds.seconds(5)
  /// How long the keys of a run outlive its last change.
  package var timeToLive = Nanoseconds.seconds(3600)
  /// How long a run stays its owner's without being renewed, and how often that is.
  package var lease = Nanoseconds.seconds(10)
  package var renewal = Nanoseconds.seconds(3)
  /// How long Redis may be away before a log or a follower says so.
  package var patience = Nanoseconds.seconds(10)
  /// Bytes of one run's entries that may wait to be stored.
  package var pendingLimit = 2 << 20

  package init() {}

  /// Whether both name the same data on the same server, whatever account they use.
  package func isSamePlace(as other: RedisSettings) -> Bool {
    host == other.host && port == other.port && usesTLS == other.usesTLS && database == other.database
  }

  /// The same with another's account and time limits of a connection.
  package func withAccount(of other: RedisSettings) -> RedisSettings {
    var settings = self
    settings.user = other.user
    settings.password = other.password
    settings.connectTimeout = other.connectTimeout
    settings.commandTimeout = other.commandTimeout
    return settings
  }

  /// Never with the password in it.
  package var description: String {
    let scheme = usesTLS ? "rediss" : "redis"
    let account = user == nil && password == nil ? "" : "\(user ?? ""):***@"
    let name = host.contains(":") ? "[\(host)]" : host
    return "\(scheme)://\(account)\(name):\(port)/\(database)"
  }
}

/// What is wrong with a `redis://` or `rediss://` URL. Holds nothing of the URL, which may hold a password.
package enum RedisURLError: String, Error, Sendable, CustomStringConvertible {
  case scheme = "must begin with redis:// or rediss://"
  case credentials = "the user and password before @ are not valid; write special characters as %XX"
  case host = "the host is missing or not valid"
  case port = "the port is not a number from 1 to 65535"
  case database = "the path must be a database number, as in /0"
  case extra = "a query or a fragment is not allowed"

  package var description: String { rawValue }
}

extension RedisSettings {
  /// Reads `redis://[[user]:password@]host[:port][/database]`; `rediss` for TLS.
  package init(url: String) throws(RedisURLError) {
    self.init()
    let bytes = Array(url.utf8)
    guard bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { throw .host }
    var rest: Substring
    if url.hasPrefix("redis://") {
      rest = url.dropFirst(8)
    } else if url.hasPrefix("rediss://") {
      usesTLS = true
      rest = url.dropFirst(9)
    } else {
      throw .scheme
    }
    guard !rest.contains("?"), !rest.contains("#") else { throw .extra }
    if let slash = rest.firstIndex(of: "/") {
      try readDatabase(rest[rest.index(after: slash)...])
      rest = rest[..<slash]
    }
    if let at = rest.lastIndex(of: "@") {
      try readCredentials(rest[..<at])
      rest = rest[rest.index(after: at)...]
    }
    try readAuthority(rest)
  }

  private mutating func readDatabase(_ text: Substring) throws(RedisURLError) {
    if text.isEmpty { return }
    guard let number = Self.number(text), number <= 65_535 else { throw .database }
    database = number
  }

  private mutating func readCredentials(_ text: Substring) throws(RedisURLError) {
    guard let colon = text.firstIndex(of: ":"), let name = Self.decoded(text[..<colon]),
      let secret = Self.decoded(text[text.index(after: colon)...]), !secret.isEmpty
    else { throw .credentials }
    user = name.isEmpty ? nil : name
    password = secret
  }

  private mutating func readAuthority(_ text: Substring) throws(RedisURLError) {
    var name = text
    var behind: Substring = ""
    if text.hasPrefix("[") {
      guard let end = text.firstIndex(of: "]") else { throw .host }
      name = text[text.index(after: text.startIndex)..<end]
      behind = text[text.index(after: end)...]
      guard name.contains(":"), name.allSatisfy({ $0.isHexDigit || $0 == ":" || $0 == "." }) else { throw .host }
    } else {
      if let colon = text.firstIndex(of: ":") {
        name = text[..<colon]
        behind = text[colon...]
      }
      let isName = name.allSatisfy { $0.isLetter || $0.isNumber || $0 == "-" || $0 == "." || $0 == "_" }
      guard !name.isEmpty, isName else { throw .host }
    }
    host = String(name)
    if behind.isEmpty { return }
    guard behind.first == ":", let number = Self.number(behind.dropFirst()), let port = UInt16(exactly: number),
      port > 0
    else { throw .port }
    self.port = port
  }

  private static func number(_ text: Substring) -> Int? {
    guard (1...5).contains(text.utf8.count), text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else { return nil }
    return Int(text)
  }

  /// Percent-decoding (RFC 3986, section 2.1); `nil` when it is broken, or gives no UTF-8 or a control character.
  private static func decoded(_ text: Substring) -> String? {
    var bytes: [UInt8] = []
    var rest = text.utf8[...]
    while let byte = rest.popFirst() {
      guard byte == UInt8(ascii: "%") else {
        if "/@:[]".utf8.contains(byte) { return nil }
        bytes.append(byte)
        continue
      }
      guard let high = rest.popFirst().flatMap(digit), let low = rest.popFirst().flatMap(digit) else { return nil }
      bytes.append(high << 4 | low)
    }
    guard bytes.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else { return nil }
    return String(validating: bytes, as: UTF8.self)
  }

  private static func digit(_ character: UInt8) -> UInt8? {
    switch character {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): character - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): character - UInt8(ascii: "A") + 10
    default: nil
    }
  }
}
