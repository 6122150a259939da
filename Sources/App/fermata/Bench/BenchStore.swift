import Loop
import Processes
import Time

/// A redis-server for one measurement, which keeps nothing on disk. Its processor time is not counted: the bench measures
/// what the gateway costs.
struct BenchStore {
  let process: ChildProcess
  let url: String

  /// Starts it at `address`, with its files in `folder`.
  static func start(at address: SocketAddress, folder: String) throws -> BenchStore {
    let process = try ChildProcess(
      [
        "redis-server", "--bind", "127.0.0.1", "--port", "\(address.port)", "--dir", folder, "--save", "",
        "--appendonly", "no", "--daemonize", "no",
      ], errorFile: folder + "/errors.txt")
    while let line = process.readLine(timeout: .seconds(10)) {
      if line.contains("Ready to accept connections") {
        return BenchStore(process: process, url: "redis://\(address)/0")
      }
    }
    process.stop()
    throw BenchError("redis-server did not start")
  }
}
