import Loop
import Processes
import Time

/// A redis-server in which one gateway keeps its runs.
final class MatrixStore: Sendable {
  let url: String
  private let child: SharedChild

  private init(url: String, child: SharedChild) { (self.url, self.child) = (url, child) }

  /// Starts it on a free port and waits until it serves.
  ///
  /// - Returns: `nil` where it is not installed.
  static func start(in folder: TemporaryDirectory) async throws -> MatrixStore? {
    let address = try MatrixProxy.freeAddress()
    let command = [
      "redis-server", "--port", "\(address.port)", "--bind", "127.0.0.1", "--save", "", "--dir", folder.path,
    ]
    guard let child = try? SharedChild(command, errorFile: folder.path + "/redis.errors") else { return nil }
    let deadline = SystemClock.now + .seconds(10)
    while SystemClock.now < deadline {
      if let exit = child.exit() { throw MatrixFailure("redis-server ended with \(exit)") }
      while let line = child.line() {
        if line.contains("Ready to accept connections") {
          return MatrixStore(url: "redis://\(address)", child: child)
        }
      }
      try await Task.sleep(for: .milliseconds(10))
    }
    child.stop()
    throw MatrixFailure("redis-server did not start in 10 s")
  }

  func kill() { child.stop() }
}
