import Telemetry

/// What a loop holds and does not count, or counts and does not hold. Anything but 0 is a leak.
enum Unaccounted: String, MetricLabel, CaseIterable {
  /// Streams that are counted as open, against those that clients have.
  case streams
  /// Runs that can be found by their names, and are not there.
  case runs
}
