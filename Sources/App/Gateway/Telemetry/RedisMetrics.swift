import RedisLog
package import Telemetry

extension RedisFault: MetricLabel {}

/// What is counted of Redis.
package struct RedisMetrics: Sendable {
  let connected: Gauge
  let commands: Counter
  let failures: Counter
  let losses: Counter
  let errors: Family<Counter, RedisFault>
  let storeLosses: Counter

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
