/// A point on the machine's monotonic clock. Core never reads a clock: whoever calls a machine passes the time in.
package struct MonotonicTime: Comparable, Hashable, Sendable {
  /// Nanoseconds since an arbitrary start (CLOCK_MONOTONIC).
  package var nanoseconds: UInt64

  package init(nanoseconds: UInt64) {
    self.nanoseconds = nanoseconds
  }

  package static func < (left: Self, right: Self) -> Bool { left.nanoseconds < right.nanoseconds }

  package static func + (time: Self, duration: Nanoseconds) -> Self {
    Self(nanoseconds: time.nanoseconds &+ UInt64(bitPattern: duration.value))
  }

  /// How long `earlier` is ago at `later`; negative when it is the later of the two.
  package static func - (later: Self, earlier: Self) -> Nanoseconds {
    Nanoseconds(Int64(bitPattern: later.nanoseconds &- earlier.nanoseconds))
  }
}

/// A length of time in nanoseconds. Eight bytes, unlike `Duration`'s sixteen: thousands of streams keep several.
package struct Nanoseconds: Comparable, Hashable, Sendable {
  package var value: Int64

  package init(_ value: Int64) {
    self.value = value
  }

  package static let zero = Nanoseconds(0)
  // Lengths come from configuration files: what is too long to be counted is as long as can be, not a trap.
  package static func seconds(_ count: Int) -> Self { scaled(count, by: 1_000_000_000) }
  package static func milliseconds(_ count: Int) -> Self { scaled(count, by: 1_000_000) }
  package static func seconds(_ count: Double) -> Self {
    let value = count * 1e9
    return Self(Int64(exactly: value.rounded(.towardZero)) ?? (value > 0 ? .max : value < 0 ? .min : 0))
  }

  package var milliseconds: Double { Double(value) / 1e6 }
  package var seconds: Double { Double(value) / 1e9 }

  package static func < (left: Self, right: Self) -> Bool { left.value < right.value }
  package static func + (left: Self, right: Self) -> Self {
    let (sum, overflowed) = left.value.addingReportingOverflow(right.value)
    return Self(overflowed ? (left.value > 0 ? .max : .min) : sum)
  }
  package static func - (left: Self, right: Self) -> Self {
    let (difference, overflowed) = left.value.subtractingReportingOverflow(right.value)
    return Self(overflowed ? (left.value > 0 ? .max : .min) : difference)
  }

  private static func scaled(_ count: Int, by unit: Int64) -> Self {
    let (value, overflowed) = Int64(count).multipliedReportingOverflow(by: unit)
    return Self(overflowed ? (count > 0 ? .max : .min) : value)
  }
}
