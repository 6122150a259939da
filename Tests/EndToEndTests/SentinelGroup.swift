import Glibc
import Harness
import Processes
import RunningGateway
import Synchronization
import Testing
import Time

/// A primary, a replica, and three Sentinels that watch them.
final class SentinelGroup: Sendable {
  let servers: [RedisProcess]
  private let ports: [Int]
  private let processes = Mutex<[ChildProcess]>([])
  private let directory: ScratchDirectory

  init() async throws {
    servers = [try await RedisProcess(), try await RedisProcess()]
    directory = try ScratchDirectory()
    try servers[1].cli("replicaof", "127.0.0.1", "\(servers[0].port)")
    ports = try (0..<3).map { _ in try FreePort.pick() }
    for port in ports {
      let file = "sentinel-\(port).conf"
      directory.write(
        file,
        """
        port \(port)
        bind 127.0.0.1
        dir \(directory.path)
        sentinel monitor events 127.0.0.1 \(servers[0].port) 2
        sentinel down-after-milliseconds events 1000
        sentinel failover-timeout events 5000

        """)
      try processes.withLock { processes in
        let process = try ChildProcess(["redis-server", directory[file], "--sentinel"])
        processes.append(process)
        while let line = process.readLine(timeout: .seconds(60)) { if line.contains("+monitor") { break } }
      }
    }
    let isKnown = await eventually(within: .seconds(30)) { (try? isComplete()) == true }
    if !isKnown { throw SupportError("the Sentinels do not know of each other and of the replica") }
  }

  /// What a gateway's configuration names.
  var url: String { "redis+sentinel://events@" + ports.map { "127.0.0.1:\($0)" }.joined(separator: ",") + "/0" }

  /// Whether each Sentinel knows the other two and the replica, so that a failover can be had.
  private func isComplete() throws -> Bool {
    try ports.allSatisfy { port in
      let words = try ask(port, "master", "events").split(separator: "\n")
      func value(_ name: Substring) -> Substring? { zip(words, words.dropFirst()).first { $0.0 == name }?.1 }
      return value("num-slaves") == "1" && value("num-other-sentinels") == "2" && value("flags") == "master"
    } && servers[1].cli("info", "replication").contains("master_link_status:up")
  }

  /// Has the Sentinels make the replica the primary.
  ///
  /// - Returns: what they say to it: `OK`, or why not now.
  @discardableResult
  func failOver() throws -> String { try ask(ports[0], "failover", "events") }

  private func ask(_ port: Int, _ words: String...) throws -> String {
    let cli = try ChildProcess(["redis-cli", "-p", "\(port)", "sentinel"] + words)
    cli.closeInput()
    var lines: [String] = []
    while let line = cli.readLine(timeout: .seconds(60)) { lines.append(line) }
    _ = cli.wait(timeout: .seconds(5))
    return lines.joined(separator: "\n")
  }

  func stop() {
    processes.withLock { processes in
      for process in processes {
        process.signal(SIGKILL)
        _ = process.wait(timeout: .seconds(5))
      }
    }
    for server in servers { server.kill() }
  }
}
