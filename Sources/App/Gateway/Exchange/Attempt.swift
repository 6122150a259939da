import Configuration
import HTTP
import Loop
import Streams
import Telemetry
import Time
import Upstreams

/// One backend that is asked: the way to it, how far it has come, and what its pool's books say of it.
struct Attempt: ~Copyable {
  let pool: UpstreamPool
  /// Made again because a kept connection had died.
  let isRepeated: Bool
  var timeline: AttemptTimeline
  var dial: UpstreamDial?
  private(set) var upstream: UpstreamConnection?

  init(_ pool: UpstreamPool, at now: MonotonicTime, isRepeated: Bool) {
    self.pool = pool
    self.isRepeated = isRepeated
    timeline = AttemptTimeline(startedAt: now)
  }

  /// Whether the backend is at work, or being reached.
  var isActive: Bool { upstream != nil || dial != nil }

  mutating func connected(_ upstream: UpstreamConnection, at now: MonotonicTime) {
    self.upstream = upstream
    if timeline.connectedAt == nil { timeline.connectedAt = now } else { timeline.securedAt = now }
  }

  /// The connection has served its response, or is gone.
  mutating func upstreamLeft() { upstream = nil }

  /// It gave no good response.
  consuming func failed(
    _ report: AttemptReport, of request: borrowing RequestHead, on route: Route, record: RequestRecord,
    context: LoopContext
  ) {
    let timeline = timeline
    let now = context.loop.now
    pool.attemptFailed(report.fault, in: report.phase, of: request, timeline: timeline, at: now)
    context.routes.passed(report.limit, on: route.settings.name)
    context.attempts.failed(
      report.fault, in: report.phase, of: pool.settings.name, on: route.settings.name, limit: report.limit,
      after: now - timeline.startedAt, record)
    drop()
  }

  /// Its response was good, and is over.
  consuming func ended(_ result: AttemptResult, at now: MonotonicTime) {
    pool.attemptEnded(result, timeline: timeline, at: now)
    drop()
  }

  private consuming func drop() {
    dial?.cancel()
    upstream?.close()
  }
}
