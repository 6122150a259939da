import Bytes

/// What a server says about itself (`INFO server`, `INFO replication`), as far as that matters here. Empty where the
/// account may not ask.
package struct RedisServerInfo: Equatable, Sendable {
  /// Another one each time that the server is started.
  package private(set) var runID = ""
  /// `standalone`, `cluster` or `sentinel`.
  package private(set) var mode = ""
  /// `master` or `slave`.
  package private(set) var role = ""
  /// The release whose commands it knows: for Valkey, the Redis that it stands in for.
  package private(set) var release = ""

  package init() {}

  /// Takes in the lines `name:value` of one answer.
  package mutating func read(_ text: Span<UInt8>) {
    for line in String(copying: text).split(whereSeparator: \.isNewline) {
      guard let colon = line.firstIndex(of: ":") else { continue }
      let value = line[line.index(after: colon)...]
      switch line[..<colon] {
      case "run_id": runID = Self.word(value)
      case "redis_mode": mode = Self.word(value)
      case "role": role = Self.word(value)
      case "redis_version": release = String(value.prefix(32).filter { $0.isASCII && ($0.isNumber || $0 == ".") })
      default: break
      }
    }
  }

  /// What goes into a key and into messages: letters and digits.
  private static func word(_ text: Substring) -> String {
    String(text.prefix(64).filter { $0.isASCII && ($0.isLetter || $0.isNumber) })
  }

  /// Whether runs can never be kept on such a server, so that it is a mistake to have named it as `peer`.
  package func isUnsupported(as peer: RedisConnection.Peer) -> Bool {
    if peer == .node { return isTooOld || !(mode.isEmpty || mode == "cluster") }
    return mode == "sentinel" || mode == "cluster" || isTooOld
  }

  /// Before 6.2, whose `SET` can tell what was there (`GatewayLease`). `false` where the release is not known.
  private var isTooOld: Bool {
    let numbers = release.split(separator: ".").map { Int($0) ?? 0 }
    guard numbers.count >= 2 else { return false }
    return (numbers[0], numbers[1]) < (6, 2)
  }

  /// Why it is of no use.
  ///
  /// - Parameters:
  ///   - peer: what it should be.
  ///   - allowsCluster: there is a proxy that finds each key's node.
  package func refusal(as peer: RedisConnection.Peer = .primary, allowsCluster: Bool) -> String? {
    if peer == .sentinel { return mode.isEmpty || mode == "sentinel" ? nil : "this is no Redis Sentinel" }
    if mode == "sentinel" {
      return "this is a Redis Sentinel, which keeps no data; with redis+sentinel://NAME@HOST:PORT it is asked for the "
        + "primary that it calls NAME"
    }
    if mode == "cluster", peer != .node, !allowsCluster {
      return "this is a node of a Redis Cluster: write redis+cluster://HOST:PORT, or behind a proxy set hashTags"
    }
    if peer == .node, !mode.isEmpty, mode != "cluster" {
      return "this is no node of a Redis Cluster: write redis://HOST:PORT"
    }
    if isTooOld { return "this is Redis \(release); runs need Redis 6.2 or later, or Valkey" }
    return role == "slave" && peer == .primary ? "this is a replica; runs are kept on a primary" : nil
  }
}
