/// Where one server listens.
package struct RedisAddress: Hashable, Sendable, CustomStringConvertible {
  package var host: String
  package var port: UInt16

  package init(host: String, port: UInt16) {
    self.host = host
    self.port = port
  }

  package var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// What is wrong with the URL of a Redis. Holds nothing of the URL, which may hold a password.
package enum RedisURLError: String, Error, Sendable, CustomStringConvertible {
  case scheme = """
    must begin with redis://, redis+sentinel:// or redis+cluster://, or over TLS with rediss://, rediss+sentinel:// or \
    rediss+cluster://
    """
  case credentials = "the user and password before @ are not valid; write special characters as %XX"
  case primary = "before @ stands the name of the primary that the Sentinels watch: letters, digits, '.', '-' and '_'"
  case host = "the host is missing or not valid"
  case port = "the port is not a number from 1 to 65535"
  case database = "the path must be a database number, as in /0"
  case clusterDatabase = "a Redis Cluster has no database but 0"
  case extra = "a query or a fragment is not allowed"

  package var description: String { rawValue }
}

extension RedisSettings {
  /// Reads `redis://[[user]:password@]host[:port][/database]`, or
  /// `redis+sentinel://primary@host[:port][,host[:port]…][/database]`, or
  /// `redis+cluster://[[user]:password@]host[:port][,host[:port]…]`; `rediss` for TLS.
  package init(url: String) throws(RedisURLError) {
    self.init()
    let bytes = Array(url.utf8)
    guard bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { throw .host }
    guard
      let (scheme, behind) = Self.schemes.lazy.compactMap({ scheme in
        url.hasPrefix(scheme.text) ? (scheme, url.dropFirst(scheme.text.count)) : nil
      }).first
    else { throw .scheme }
    usesTLS = scheme.usesTLS
    var rest = behind
    guard !rest.contains("?"), !rest.contains("#") else { throw .extra }
    if let slash = rest.firstIndex(of: "/") {
      try readDatabase(rest[rest.index(after: slash)...])
      rest = rest[..<slash]
    }
    let at = rest.lastIndex(of: "@")
    let account = at.map { rest[..<$0] }
    if let at { rest = rest[rest.index(after: at)...] }
    if scheme.kind == .sentinel {
      try readSentinels(account, rest)
      return
    }
    if let account { try readCredentials(account) }
    if scheme.kind == .cluster {
      guard database == 0 else { throw .clusterDatabase }
      let servers = try Self.addresses(rest, usualPort: port)
      (host, port, cluster, usesHashTags) = (servers[0].host, servers[0].port, servers, true)
      return
    }
    let address = try Self.address(rest, usualPort: port)
    (host, port) = (address.host, address.port)
  }

  private enum Kind { case server, sentinel, cluster }

  private static let schemes: [(text: String, usesTLS: Bool, kind: Kind)] = [
    ("redis://", false, .server), ("rediss://", true, .server),
    ("redis+sentinel://", false, .sentinel), ("rediss+sentinel://", true, .sentinel),
    ("redis+cluster://", false, .cluster), ("rediss+cluster://", true, .cluster),
  ]

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

  /// Sentinel takes these characters in a primary's name.
  private mutating func readSentinels(_ name: Substring?, _ places: Substring) throws(RedisURLError) {
    let isName = name?.utf8.allSatisfy { Self.isNameCharacter($0) } ?? false
    guard let name, isName, !name.isEmpty else { throw .primary }
    let addresses = try Self.addresses(places, usualPort: SentinelSettings.usualPort)
    sentinel = SentinelSettings(primary: String(name), addresses: addresses)
    (host, port) = (addresses[0].host, addresses[0].port)
  }

  /// - Returns: at least one.
  private static func addresses(_ places: Substring, usualPort: UInt16) throws(RedisURLError) -> [RedisAddress] {
    var addresses: [RedisAddress] = []
    for place in places.split(separator: ",", omittingEmptySubsequences: false) {
      addresses.append(try address(place, usualPort: usualPort))
    }
    return addresses
  }

  private static func address(_ text: Substring, usualPort: UInt16) throws(RedisURLError) -> RedisAddress {
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
      guard !name.isEmpty, name.utf8.allSatisfy({ isNameCharacter($0) }) else { throw .host }
    }
    if behind.isEmpty { return RedisAddress(host: String(name), port: usualPort) }
    guard behind.first == ":", let number = number(behind.dropFirst()), let port = UInt16(exactly: number), port > 0
    else { throw .port }
    return RedisAddress(host: String(name), port: port)
  }

  private static func isNameCharacter(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
      UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"):
      true
    default: false
    }
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
