import Logging
import Loop
import Streams
import Telemetry
import Time

/// The log lines of attempts that failed, of one loop. While an upstream is away there would be one for each request: of
/// those that name the same upstream and reason one is written in a second, and the others are counted.
///
/// Confined to its loop's thread.
final class AttemptLog {
  private struct Key: Hashable {
    let upstream: String
    let reason: AttemptFault.Kind
  }

  private let loop: EventLoop
  private let log: WorkerLog
  private var throttle = LineThrottle<Key>(window: .seconds(1))

  init(loop: EventLoop, log: WorkerLog) {
    self.loop = loop
    self.log = log
  }

  /// - Parameter time: from the attempt's start to its failure.
  func failed(
    _ fault: AttemptFault, in phase: AttemptPhase, of upstream: String, on route: String, limit: TimeLimit?,
    after time: Nanoseconds, _ record: RequestRecord
  ) {
    let key = Key(upstream: upstream, reason: fault.kind)
    guard throttle.admits(key, at: loop.now) else { return }
    let suppressed = throttle.takeSuppressed(key)
    log.write(.warning, .attemptFailed, at: loop.wallTime()) { line in
      line.field("route", route)
      line.field("upstream", upstream)
      line.field("requestId") { record.writeID(to: &$0) }
      if let trace = record.trace { line.field("traceId") { trace.write(to: &$0) } }
      line.field("phase", phase.rawValue)
      line.field("reason", fault.reason)
      line.field("limit", ifPresent: limit?.rawValue)
      line.field("detail", ifPresent: fault.detail)
      if let status = fault.status { line.field("status", status) }
      line.field("milliseconds", Int(time.milliseconds))
      if suppressed > 0 { line.field("suppressed", suppressed) }
    }
  }

  /// Tells how many lines were left out that no later one has told of.
  ///
  /// - Parameter isLast: nothing comes any more.
  func tell(at now: MonotonicTime, isLast: Bool = false) {
    guard !throttle.isEmpty else { return }
    for (key, suppressed) in throttle.takeDue(at: now, isLast: isLast) {
      log.write(.warning, .attemptFailed, at: loop.wallTime()) { line in
        line.field("upstream", key.upstream)
        line.field("reason", key.reason.rawValue)
        line.field("suppressed", suppressed)
      }
    }
  }
}
