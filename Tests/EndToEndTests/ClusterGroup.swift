import Harness
import RunningGateway
import Testing
import Time

/// A Redis Cluster of three masters.
struct ClusterGroup: Sendable {
  private static let slots = 16_384

  let servers: [RedisProcess]

  init() async throws {
    var servers: [RedisProcess] = []
    var buses: [Int] = []
    for _ in 0..<3 {
      var setup = RedisProcess.Setup()
      setup.isNew = true
      buses.append(try FreePort.pick())
      setup.options = [
        "--cluster-enabled", "yes", "--cluster-port", "\(buses[buses.count - 1])", "--cluster-node-timeout", "10000",
      ]
      servers.append(try await RedisProcess(setup))
    }
    for (index, server) in servers.enumerated() {
      try server.cli("CLUSTER", "SET-CONFIG-EPOCH", "\(index + 1)")
      let (first, last) = (index * Self.slots / 3, (index + 1) * Self.slots / 3 - 1)
      try server.cli("CLUSTER", "ADDSLOTSRANGE", "\(first)", "\(last)")
      if index > 0 { try servers[0].cli("CLUSTER", "MEET", "127.0.0.1", "\(server.port)", "\(buses[index])") }
    }
    let isWhole = try await eventually(within: .seconds(20)) {
      try servers.allSatisfy {
        let info = try $0.cli("CLUSTER", "INFO")
        return info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
      }
    }
    #expect(isWhole)
    self.servers = servers
  }

  func kill() { for server in servers { server.kill() } }

  /// Moves a slot that has no key, or one key after the other.
  func move(_ slot: Int, from source: RedisProcess, to target: RedisProcess) throws {
    let (from, to) = (try source.cli("CLUSTER", "MYID"), try target.cli("CLUSTER", "MYID"))
    try target.cli("CLUSTER", "SETSLOT", "\(slot)", "IMPORTING", from)
    try source.cli("CLUSTER", "SETSLOT", "\(slot)", "MIGRATING", to)
    while let key = try source.cli("CLUSTER", "GETKEYSINSLOT", "\(slot)", "1").split(separator: "\n").first {
      try source.cli("MIGRATE", "127.0.0.1", "\(target.port)", String(key), "0", "5000")
    }
    for server in [target, source] { try server.cli("CLUSTER", "SETSLOT", "\(slot)", "NODE", to) }
  }

  /// Takes a server out, as operators do: its slots go to the others, those forget it, and it is ended.
  func remove(_ leaver: RedisProcess) throws {
    let stayer = try #require(servers.first { $0 !== leaver })
    let (id, place) = (try leaver.cli("CLUSTER", "MYID"), "127.0.0.1:\(stayer.port)")
    let moved = try stayer.cli("--cluster", "rebalance", place, "--cluster-weight", "\(id)=0", "--cluster-yes")
    let left = try stayer.cli("--cluster", "del-node", place, id)
    let nodes = try stayer.cli("CLUSTER", "NODES")
    #expect(!nodes.contains(id) && nodes.contains("myself"), "\(moved.suffix(500))\n\(left)\n\(nodes)")
    leaver.kill()
  }

  /// Some slots of a server that have keys of runs.
  func occupied(_ server: RedisProcess) throws -> [Int] {
    let keys = try server.cli("KEYS", "ai:run:*:events").split(separator: "\n")
    return try keys.prefix(8).map { Int(try server.cli("CLUSTER", "KEYSLOT", String($0))) ?? 0 }
  }
}
