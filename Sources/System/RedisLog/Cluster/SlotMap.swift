import Bytes

/// Which server of a Redis Cluster has which slots.
package struct SlotMap: Equatable {
  /// The servers that have slots, and some that had; `owners` holds places in it.
  package private(set) var servers: [RedisAddress] = []
  private var owners = [UInt16](repeating: Self.nobody, count: RedisSlot.count)

  private static let nobody = UInt16.max

  package init() {}

  /// Reads the answer to `CLUSTER SLOTS`: `[[first, last, [host, port, …], replica, …], …]`.
  ///
  /// - Parameter asked: who has answered. Its host stands in where it names none.
  /// - Returns: `nil` when it is something else, or nobody has a slot.
  package init?(_ reply: RedisReply, from asked: RedisAddress) {
    guard reply.kind == .array, reply.count > 0 else { return nil }
    for range in reply.elements {
      var parts = range.elements
      guard let first = parts.next()?.integer, let last = parts.next()?.integer, 0 <= first, first <= last,
        last < RedisSlot.count, let (host, port) = parts.next()?.firstTwo, let number = port.integer,
        let port = UInt16(exactly: number), port > 0
      else { return nil }
      // Unknown to itself ("" and null) is its own host; "?" one that has been given no name.
      let name = host.isNull ? "" : host.text
      guard let address = Self.address(name == "?" ? "" : name, port, asked) else { return nil }
      for slot in Int(first)...Int(last) { move(slot, to: address) }
    }
  }

  private static func address(_ host: String, _ port: UInt16, _ asked: RedisAddress) -> RedisAddress? {
    if host.isEmpty { return RedisAddress(host: asked.host, port: port) }
    guard host.utf8.count <= 255, host.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { return nil }
    return RedisAddress(host: host, port: port)
  }

  /// How many changes a server knows of, from its answer to `CLUSTER INFO`; `nil` where that does not say it.
  package static func epoch(in info: Span<UInt8>) -> UInt64? {
    let name = "cluster_current_epoch:"
    let line = String(copying: info).split(whereSeparator: \.isNewline).first { $0.hasPrefix(name) }
    return line.flatMap { UInt64($0.dropFirst(name.count)) }
  }

  /// Who has a slot; `nil` when nobody is known to.
  package subscript(slot: Int) -> RedisAddress? {
    let owner = owners[slot]
    return owner == Self.nobody ? nil : servers[Int(owner)]
  }

  package mutating func move(_ slot: Int, to address: RedisAddress) {
    if let place = servers.firstIndex(of: address) {
      owners[slot] = UInt16(place)
    } else {
      // As many servers as a cluster may have slots.
      guard servers.count < RedisSlot.count else { return }
      owners[slot] = UInt16(servers.count)
      servers.append(address)
    }
  }

  /// Whether some slot lies on a server of which this map knows nothing any more: its data may be older there.
  package func hasTakenOver(from old: SlotMap) -> Bool {
    let gone = old.servers.map { !servers.contains($0) }
    guard gone.contains(true) else { return false }
    return old.owners.contains { $0 != Self.nobody && gone[Int($0)] }
  }
}

/// Where a Redis Cluster says that a key lies: `MOVED 3999 127.0.0.1:6381`, `ASK 3999 127.0.0.1:6381`.
package struct ClusterRedirect: Equatable {
  package let slot: Int
  package let address: RedisAddress

  /// - Parameter asked: who has answered. Its host stands in where the answer names none.
  /// - Returns: `nil` when it is not such an answer.
  package init?(_ text: String, from asked: RedisAddress) {
    let words = text.split(separator: " ")
    guard words.count == 3, words[0] == "MOVED" || words[0] == "ASK", let slot = Int(words[1]),
      (0..<RedisSlot.count).contains(slot), let colon = words[2].lastIndex(of: ":"),
      let port = UInt16(words[2][words[2].index(after: colon)...]), port > 0
    else { return nil }
    let host = words[2][..<colon]
    guard host.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }), host.utf8.count <= 255 else { return nil }
    self.slot = slot
    address = RedisAddress(host: host.isEmpty || host == "?" ? asked.host : String(host), port: port)
  }
}
