import Gateway
import JSON
import Telemetry

/// What graceful would have saved on the legacy streams so far.
struct ShadowTally: Sendable {
  var streams = 0
  var trailingStreams = 0
  var trailingEvents = 0
  var leftEarly = 0
  var truncations = 0

  init() {}

  /// - Parameter value: what a counter stands at.
  init(_ metrics: GatewayMetrics, _ value: (Counter) -> Int) {
    streams = value(metrics.shadowStreams)
    trailingStreams = value(metrics.shadowTrailingStreams)
    trailingEvents = value(metrics.shadowTrailingEvents)
    leftEarly = value(metrics.shadowLeftEarly)
    truncations = value(metrics.shadowTruncations)
  }

  mutating func add(_ other: ShadowTally) {
    streams += other.streams
    trailingStreams += other.trailingStreams
    trailingEvents += other.trailingEvents
    leftEarly += other.leftEarly
    truncations += other.truncations
  }

  var json: JSONValue {
    [
      "streams": JSONValue(streams), "streamsWithTrailingEvents": JSONValue(trailingStreams),
      "trailingEvents": JSONValue(trailingEvents), "clientsThatLeftEarly": JSONValue(leftEarly),
      "truncationsToldAsCut": JSONValue(truncations),
    ]
  }
}
