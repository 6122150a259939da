import Processes
import Synchronization
import Time

/// A child process that tasks may ask from any thread. No call blocks, apart from the end.
final class SharedChild: Sendable {
  private let child: Mutex<ChildProcess>

  /// Starts it without the proxies of the surroundings: nothing here leaves the machine.
  ///
  /// - Parameter surroundings: what its environment has besides.
  init(_ command: [String], surroundings: [String: String] = [:], errorFile: String) throws(ProcessError) {
    let environment = surroundings.merging(["NO_PROXY": "*", "no_proxy": "*"]) { $1 }
    child = Mutex(try ChildProcess(command, environment: environment, errorFile: errorFile))
  }

  func write(_ line: String) -> Bool { child.withLock { $0.write(line: line) } }
  func closeInput() { child.withLock { $0.closeInput() } }
  /// A line that is there already.
  func line() -> String? { child.withLock { $0.readLine(timeout: .zero) } }
  /// How it ended; `nil` while it runs.
  func exit() -> ChildProcess.Exit? { child.withLock { $0.wait(timeout: .zero) } }
  func stop() { child.withLock { _ = $0.stop(grace: .milliseconds(500)) } }
}
