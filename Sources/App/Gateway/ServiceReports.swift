import Loop
import Processes
import Time

/// Tells the service manager what becomes of the process, and that it is alive.
///
/// Lives on the main loop.
final class ServiceReports {
  private let manager: ServiceManager
  private let loop: EventLoop
  private let isAlive: (_ limit: Nanoseconds) -> Bool
  private let status: (_ tell: @escaping (String) -> Void) -> Void
  private var timer: Timer?

  /// How often the status is told.
  private static let interval = Nanoseconds.seconds(5)

  /// - Parameters:
  ///   - isAlive: whether every worker was seen within a limit.
  ///   - status: finds what to say of the process now, in one line.
  init(
    _ manager: ServiceManager, loop: EventLoop, isAlive: @escaping (Nanoseconds) -> Bool,
    status: @escaping (@escaping (String) -> Void) -> Void
  ) {
    self.manager = manager
    self.loop = loop
    self.isAlive = isAlive
    self.status = status
  }

  func ready() {
    manager.tell("READY=1")
    report()
  }

  /// Between this and `ready` the configuration is read again.
  func reloading() {
    let microseconds = loop.readClock().nanoseconds / 1000
    manager.tell("RELOADING=1", "MONOTONIC_USEC=\(microseconds)")
  }

  func reloaded() { manager.tell("READY=1") }

  func stopping() {
    manager.tell("STOPPING=1")
    report()
  }

  func close() {
    timer?.cancel()
    timer = nil
  }

  private func report() {
    let half = manager.watchdog.map { Nanoseconds($0.value / 2) }
    // A worker that is stuck must become a restart, so the manager hears nothing while one is.
    if let half, isAlive(min(half, Self.interval)) { manager.tell("WATCHDOG=1") }
    status { [manager] in manager.tell("STATUS=" + $0) }
    let timer = Timer(loop: loop) { [unowned self] in report() }
    timer.schedule(after: min(half ?? Self.interval, Self.interval))
    self.timer?.cancel()
    self.timer = timer
  }
}
