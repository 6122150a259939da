import RedisLog
package import Telemetry

extension RedisFault: MetricLabel {}
extension RedisUse: MetricLabel {}
extension RedisCommandKind: MetricLabel {}

/// Whether there is a connection that is wanted.
enum RedisConnectionState: String, MetricLabel {
  case up, down
}

/// What has become of the tries to have a connection.
enum RedisConnectionEvent: String, MetricLabel {
  case made, failed, lost
}

/// What is counted of Redis.
package struct RedisMetrics: Sendable {
  let connected: Gauge
  let commands: Counter
  let failures: Counter
  let losses: Counter
  let errors: Family<Counter, RedisFault>
  let storeLosses: Counter
  let connections: OpenFamily<Gauge, RedisUse, RedisConnectionState>
  let connectionEvents: OpenFamily<Counter, RedisUse, RedisConnectionEvent>
  let serverErrors: OpenFamily<Counter, RedisFault>
  let commandTimes: OpenFamily<Histogram, RedisCommandKind>

  package init(_ define: inout RegistryBuilder) {
    connected = define.gauge("fermata_redis_connected", "Event loops whose connection to Redis carries commands.")
    commands = define.counter("fermata_redis_commands_total", "Commands sent to Redis.")
    failures = define.counter(
      "fermata_redis_connect_failures_total", "Connections to Redis that could not be made.")
    losses = define.counter("fermata_redis_connections_lost_total", "Connections to Redis that were lost.")
    errors = define.counters(
      "fermata_redis_errors_total", "Commands that Redis answered with an error, by the error's first word.",
      by: "error", showsUnused: false)
    storeLosses = define.counter(
      "fermata_run_store_lost_total", "Runs that could not be kept in Redis, or not be followed there.")
    connections = define.gauges(
      "fermata_redis_connections",
      "Connections that event loops want with a server of Redis, by whether they have them.",
      open: "server", by: "connection", "state")
    connectionEvents = define.counters(
      "fermata_redis_connection_events_total",
      "Connections with a server of Redis that were made, failed or were lost.",
      open: "server", by: "connection", "event")
    serverErrors = define.counters(
      "fermata_redis_server_errors_total", "Commands that a server of Redis answered with an error.", open: "server",
      by: "error")
    commandTimes = define.histograms(
      "fermata_redis_command_seconds", "From the command to its answer, by server and by what it asks.",
      open: "server", by: "class", bounds: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5])
  }

  /// Adds what has been counted since `before`.
  func show(_ now: RedisConnection.Counts, since before: RedisConnection.Counts, in shard: MetricShard) {
    func add(_ new: UInt64, _ old: UInt64, to counter: Counter) {
      if new > old { shard.increment(counter, by: Int(clamping: new - old)) }
    }
    add(now.commands, before.commands, to: commands)
    add(now.failures, before.failures, to: failures)
    add(now.losses, before.losses, to: losses)
    for (fault, count) in now.errors { add(count, before.errors[fault] ?? 0, to: errors[fault]) }
  }
}
