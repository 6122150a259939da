import Flags

/// A client's product and version as its request names them, for the census. The values are foreign: they are bounded
/// in length, and everything but printable ASCII becomes `?`.
package struct ClientProduct: Hashable, Sendable {
  package static let nameLimit = 64
  package static let versionLimit = 32
  /// Bytes of `User-Agent` that are looked at.
  private static let agentLimit = 1024

  package let name: String
  /// Empty when the client names none.
  package let version: String
  /// Of name and version, keyed for this process. Every stream is looked up by its product.
  private let digest: Int

  package init(name: some StringProtocol, version: some StringProtocol) {
    let name = Self.clean(name, limit: Self.nameLimit)
    self.name = name.isEmpty ? "unknown" : name
    self.version = Self.clean(version, limit: Self.versionLimit)
    var hasher = Hasher()
    hasher.combine(self.name)
    hasher.combine(self.version)
    digest = hasher.finalize()
  }

  package static func == (left: Self, right: Self) -> Bool {
    left.digest == right.digest && left.name == right.name && left.version == right.version
  }

  package func hash(into hasher: inout Hasher) { hasher.combine(digest) }

  package static let unknown = ClientProduct(name: "unknown", version: "")
  /// Stands for all clients that have no row of their own.
  package static let other = ClientProduct(name: "other", version: "")

  /// Reads the first product of `User-Agent` (RFC 9110, 10.1.5). Browsers are folded to their name and major version;
  /// `OpenAI/Python 1.30.1` is the product `OpenAI/Python`.
  package init(userAgent: String?) {
    let bytes = (userAgent ?? "").utf8.prefix(Self.agentLimit)
    let words = Self.words(of: String(decoding: bytes, as: UTF8.self))
    guard let first = words.first else {
      self = .unknown
      return
    }
    let (name, version) = Self.split(first)
    if name == "Mozilla" {
      self = Self.browser(words) ?? ClientProduct(name: name, version: Self.major(version))
    } else if !Self.isVersion(version), !version.isEmpty, words.count > 1, Self.isVersion(words[1]) {
      self.init(name: first, version: words[1])
    } else {
      self.init(name: name, version: version)
    }
  }

  // MARK: - Browsers

  /// In this order: most browsers also name the ones that they are built on, or were once mistaken for.
  private static let browsers: [(token: String, name: String)] = [
    ("Edg", "Edge"), ("EdgA", "Edge"), ("EdgiOS", "Edge"), ("Edge", "Edge"), ("OPR", "Opera"), ("OPiOS", "Opera"),
    ("SamsungBrowser", "SamsungBrowser"), ("Firefox", "Firefox"), ("FxiOS", "Firefox"), ("HeadlessChrome", "Chrome"),
    ("CriOS", "Chrome"),
  ]
  private static let engines: Set<String> = [
    "Mozilla", "AppleWebKit", "Chrome", "Safari", "Electron", "Gecko", "Version", "Mobile",
  ]

  private static func browser(_ words: [String]) -> ClientProduct? {
    let products = words.map(split)
    func version(of token: String) -> Substring? { products.first { $0.name == token }?.version }
    // A desktop application brings its own browser: the application is the client.
    if let electron = version(of: "Electron") {
      guard let app = products.first(where: { !engines.contains(String($0.name)) && isVersion($0.version) }) else {
        return ClientProduct(name: "Electron", version: major(electron))
      }
      return ClientProduct(name: app.name, version: app.version)
    }
    for (token, name) in browsers {
      if let version = version(of: token) { return ClientProduct(name: name, version: major(version)) }
    }
    if let version = version(of: "Chrome") { return ClientProduct(name: "Chrome", version: major(version)) }
    guard version(of: "Safari") != nil else { return nil }
    return ClientProduct(name: "Safari", version: major(version(of: "Version") ?? ""))
  }

  // MARK: - Words

  /// The words outside of comments, which stand in parentheses and may hold others.
  private static func words(of text: String) -> [String] {
    var words: [String] = []
    var word: [UInt8] = []
    var depth = 0
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "("): depth += 1
      case UInt8(ascii: ")"): depth = max(0, depth - 1)
      case UInt8(ascii: " "), UInt8(ascii: "\t"):
        if depth == 0, !word.isEmpty {
          words.append(String(decoding: word, as: UTF8.self))
          word.removeAll(keepingCapacity: true)
        }
      default: if depth == 0 { word.append(byte) }
      }
    }
    if !word.isEmpty { words.append(String(decoding: word, as: UTF8.self)) }
    return words
  }

  private static func split(_ word: String) -> (name: Substring, version: Substring) {
    guard let slash = word.firstIndex(of: "/") else { return (word[...], "") }
    return (word[..<slash], word[word.index(after: slash)...])
  }

  private static func isVersion(_ text: some StringProtocol) -> Bool {
    let bytes = text.utf8
    let start = bytes.first == UInt8(ascii: "v") ? bytes.dropFirst().first : bytes.first
    return start.map { (0x30...0x39).contains($0) } ?? false
  }

  private static func major(_ version: Substring) -> Substring { version.prefix { $0 != "." } }

  private static func clean(_ text: some StringProtocol, limit: Int) -> String {
    var bytes: [UInt8] = []
    for byte in text.utf8 {
      if bytes.count == limit { break }
      // One mark for each character that takes several bytes.
      if byte & 0xC0 == 0x80 { continue }
      bytes.append((0x21...0x7E).contains(byte) ? byte : UInt8(ascii: "?"))
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}

extension CapabilityDetector {
  /// Whether `product(field:)` looks at no other header.
  package var readsUserAgentAlone: Bool { versionRules.allSatisfy { $0.header == "user-agent" } }

  /// The product and version of a client: the first version rule that finds a version in its header, else
  /// `User-Agent`.
  ///
  /// - Parameter field: the value of a request header, by its lower-case name.
  package func product(field: (String) -> String?) -> ClientProduct {
    for rule in versionRules {
      guard let version = field(rule.header).flatMap(rule.version(in:)) else { continue }
      let name = rule.product ?? ClientProduct(userAgent: field("user-agent")).name
      return ClientProduct(name: name, version: version.description)
    }
    return ClientProduct(userAgent: field("user-agent"))
  }
}
