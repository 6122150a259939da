import Loop
import Streams
import Telemetry

extension Worker {
  /// Logs that a time limit ended something that no other line tells of.
  func limitPassed(_ limit: TimeLimit, route: String?, _ level: LogLevel = .info) {
    log.write(level, "limit_passed", at: loop.wallTime()) { line in
      line.field("limit", limit.rawValue)
      line.field("route", ifPresent: route)
    }
  }
}
