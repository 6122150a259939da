import Loop
import Processes
import RedisLog
import Testing
import Time

/// A Redis Cluster of a test's own: each server with a third of the slots, or less, and replicas behind them.
final class ClusterServers {
  /// In order: the masters, then the replicas, each of the master at its place.
  let servers: [RedisServer]
  let masters: Int

  init(masters: Int = 3, withReplicas: Bool = false, _ options: [String] = []) throws {
    self.masters = masters
    let count = withReplicas ? 2 * masters : masters
    var buses: [UInt16] = []
    servers = try (0..<count).map { _ in
      buses.append(try RedisServer.freePort())
      return try RedisServer(
        isNew: true,
        [
          "--cluster-enabled", "yes", "--cluster-port", "\(buses[buses.count - 1])", "--cluster-node-timeout",
          // Without replicas nobody takes over, and a busy machine is no fault.
          withReplicas ? "2000" : "10000", "--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0",
        ] + options)
    }
    let share = (RedisSlot.count + masters - 1) / masters
    for (index, server) in servers.enumerated() {
      try server.cli("CLUSTER", "SET-CONFIG-EPOCH", "\(index + 1)")
      if index > 0 { try servers[0].cli("CLUSTER", "MEET", "127.0.0.1", "\(server.port)", "\(buses[index])") }
      guard index < masters else { continue }
      let last = min(RedisSlot.count, (index + 1) * share) - 1
      try server.cli("CLUSTER", "ADDSLOTSRANGE", "\(index * share)", "\(last)")
    }
    try wait("the servers know each other") {
      try servers.allSatisfy { try $0.cli("CLUSTER", "INFO").contains("cluster_known_nodes:\(count)") }
    }
    for index in masters..<max(masters, count) {
      try servers[index].cli("CLUSTER", "REPLICATE", try id(index - masters))
    }
    try wait("the cluster is whole") {
      try servers.allSatisfy { try $0.cli("CLUSTER", "INFO").contains("cluster_state:ok") }
    }
    for index in masters..<max(masters, count) {
      try wait("the replicas have what their masters have") {
        try servers[index].cli("INFO", "replication").contains("master_link_status:up")
      }
    }
  }

  func wait(_ what: String, _ condition: () throws -> Bool) throws {
    let limit = SystemClock.now + .seconds(60)
    while SystemClock.now < limit {
      if try condition() { return }
      SystemClock.sleep(.milliseconds(50))
    }
    Issue.record("not in time: \(what)")
  }

  func id(_ index: Int) throws -> String { try servers[index].cli("CLUSTER", "MYID") }

  /// Of the first master, or of the others too.
  func settings(_ seeds: [Int] = [0]) throws -> RedisSettings {
    let places = seeds.map { "127.0.0.1:\(servers[$0].port)" }.joined(separator: ",")
    return try RedisSettings(url: "redis+cluster://\(places)")
  }

  /// The master that has the slot of a key.
  func master(of key: String) throws -> Int {
    let slot = RedisSlot.of(key.utf8Span.span)
    return try #require(
      try servers.firstIndex { server in
        try server.cli("CLUSTER", "NODES").split(separator: "\n").contains { line in
          let words = line.split(separator: " ")
          guard words[2].contains("myself"), words[2].contains("master") else { return false }
          return words.dropFirst(8).contains { range in
            let ends = range.split(separator: "-").compactMap { Int($0) }
            return ends.count == 2 ? ends[0]...ends[1] ~= slot : ends == [slot]
          }
        }
      })
  }

  /// Moves the slot of a key to another master; `between` runs when that has begun, and after each key.
  func move(_ key: String, to target: Int, between: () throws -> Void) throws {
    let slot = "\(RedisSlot.of(key.utf8Span.span))"
    let source = try master(of: key)
    try servers[target].cli("CLUSTER", "SETSLOT", slot, "IMPORTING", try id(source))
    try servers[source].cli("CLUSTER", "SETSLOT", slot, "MIGRATING", try id(target))
    try between()
    for _ in 0..<100 {
      let keys = try servers[source].cli("CLUSTER", "GETKEYSINSLOT", slot, "1").split(separator: "\n")
      guard let key = keys.first else { break }
      try servers[source].cli("MIGRATE", "127.0.0.1", "\(servers[target].port)", String(key), "0", "5000")
      try between()
    }
    for index in [target, source] { try servers[index].cli("CLUSTER", "SETSLOT", slot, "NODE", try id(target)) }
    try between()
  }
}
