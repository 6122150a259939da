import Logging
import Loop
import RedisLog
import Runs
import Telemetry
import Time

/// Counts one loop's connection with one server of Redis, and says in the log and in `/readyz` when it is away.
final class RedisServerMeter: RedisMeter {
  private enum Standing { case unknown, up, down }

  private let context: LoopContext
  private let process: ProcessRuns
  private let connection: StoreConnection
  private let use: RedisUse
  private let states: Family<Gauge, RedisUse, RedisConnectionState>
  private let events: Family<Counter, RedisUse, RedisConnectionEvent>
  private let errors: Family<Counter, RedisFault>
  private let times: MetricRow<Histogram, RedisCommandKind>
  private var standing = Standing.unknown

  init(_ server: RedisAddress, _ use: RedisUse, process: ProcessRuns, context: LoopContext) {
    self.context = context
    self.process = process
    self.use = use
    connection = StoreConnection(server: server.description, use: use.rawValue, loop: context.index)
    let (metrics, shard) = (context.metrics.redis, context.shard)
    states = shard.resolve(metrics.connections, connection.server)
    events = shard.resolve(metrics.connectionEvents, connection.server)
    errors = shard.resolve(metrics.serverErrors, connection.server, showsUnused: false)
    times = MetricRow(shard.resolve(metrics.commandTimes, connection.server))
    context.shard.add(1, to: states[use, .down])
  }

  func connected() {
    context.shard.increment(events[use, .made])
    guard standing != .up else { return }
    let wasDown = standing == .down
    become(.up)
    process.note(nil, of: connection)
    if wasDown { note(.info, .redisConnectionBack) }
  }

  func lost(_ reason: String, wasMade: Bool, waiting: RedisCommandKind?) {
    context.shard.increment(events[use, wasMade ? .lost : .failed])
    process.note(reason, of: connection)
    // The next try may fail for another reason, which is not worth a line.
    guard standing != .down else { return }
    become(.down)
    note(.warning, .redisConnectionLost, reason, waiting)
  }

  func answered(_ kind: RedisCommandKind, after time: Nanoseconds) {
    context.shard.observe(times[kind], time.seconds)
  }

  func refused(_ fault: RedisFault) { context.shard.increment(errors[fault]) }

  func left() {
    context.shard.add(-1, to: states[use, standing == .up ? .up : .down])
    process.forget(connection)
  }

  private func become(_ new: Standing) {
    if standing == .up || new == .up {
      context.shard.add(-1, to: states[use, standing == .up ? .up : .down])
      context.shard.add(1, to: states[use, new == .up ? .up : .down])
    }
    standing = new
  }

  private func note(
    _ level: LogLevel, _ event: LogEvent, _ reason: String? = nil, _ waiting: RedisCommandKind? = nil
  ) {
    context.log.write(level, event, at: context.loop.wallTime()) {
      $0.field("worker", context.index)
      $0.field("server", connection.server)
      $0.field("connection", connection.use)
      if let reason { $0.field("reason", reason) }
      if let waiting { $0.field("waitedFor", waiting.rawValue) }
    }
  }
}
