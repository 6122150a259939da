/// How long to wait before the next request: exponential pauses with half jitter. Only a new counted event starts them
/// anew.
package struct Backoff {
  private static let longestServerRetry = 300.0

  private var base: Double
  private let maximum: Double
  private let attempts: Int?
  private let random: @Sendable () -> Double
  /// Requests in a row that brought no new counted event.
  private(set) var failures = 0

  package init(base: Double, maximum: Double, attempts: Int?, random: @escaping @Sendable () -> Double) {
    self.base = base
    self.maximum = maximum
    self.attempts = attempts
    self.random = random
  }

  /// The server sent `retry:`. Zero is ignored.
  package mutating func serverAsks(milliseconds: Int) {
    if milliseconds > 0 { base = min(Double(milliseconds) / 1000, Self.longestServerRetry) }
  }

  /// A new counted event came.
  package mutating func progress() { failures = 0 }

  /// Seconds until the next request, or nil to give up.
  package mutating func next(retryAfter: Double? = nil) -> Double? {
    // Bounded: an endless feed must not overflow.
    failures = min(failures + 1, 1 << 30)
    if let attempts, failures > attempts { return nil }
    var doubled = base
    for _ in 1..<min(failures, 60) { doubled *= 2 }
    let ceiling = max(base, min(doubled, maximum))
    let pause = ceiling / 2 + min(max(random(), 0), 1) * ceiling / 2
    return max(pause, retryAfter ?? 0)
  }
}
