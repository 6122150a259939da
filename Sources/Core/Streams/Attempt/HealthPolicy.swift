package import Time

/// When an upstream is left out for a while, and how it comes back.
package struct HealthPolicy: Equatable, Sendable {
  /// Failures in a row, or truncations in a row, that eject it; 0: never.
  package var failures = 5
  /// How long it is left out the first time; twice as long each time it fails again.
  package var ejection = Nanoseconds.seconds(10)
  /// The longest time it is left out, and the longest `Retry-After` that is honoured.
  package var ejectionMax = Nanoseconds.seconds(300)
  /// Over how long its share grows again when it is back; 0: at once.
  package var slowStart = Nanoseconds.zero
  /// Requests of our own that ask it how it is; `nil`: none.
  package var check: HealthCheckPolicy?

  package init() {}
}

/// How an upstream is asked.
package struct HealthCheckPolicy: Equatable, Sendable {
  /// The target of the GET.
  package var path = "/"
  /// Between two checks.
  package var interval = Nanoseconds.seconds(5)
  /// How long an answer may take.
  package var timeout = Nanoseconds.seconds(2)
  /// Good answers in a row that bring it back.
  package var healthyAfter = 2
  /// Bad answers in a row that take it out.
  package var unhealthyAfter = 3
  /// The statuses of a good answer.
  package var status = 200...299

  package init() {}
}
