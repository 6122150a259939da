import Telemetry
import Testing
import Time

/// A throttle that can be asked within an expectation.
private final class Throttle {
  private var throttle = LineThrottle<String>(window: .seconds(1))
  var isEmpty: Bool { throttle.isEmpty }
  func admits(_ key: String, at now: MonotonicTime) -> Bool { throttle.admits(key, at: now) }
  func takeSuppressed(_ key: String) -> Int { throttle.takeSuppressed(key) }
  func takeDue(at now: MonotonicTime, isLast: Bool = false) -> [(key: String, suppressed: Int)] {
    throttle.takeDue(at: now, isLast: isLast)
  }
}

@Suite struct LineThrottleTests {
  private static func at(_ milliseconds: UInt64) -> MonotonicTime {
    MonotonicTime(nanoseconds: milliseconds * 1_000_000)
  }

  @Test func `one line of a key is written in a window, and the next one tells of the others`() {
    let throttle = Throttle()
    #expect(throttle.isEmpty && throttle.admits("a", at: Self.at(0)) && throttle.takeSuppressed("a") == 0)
    for time in [0, 1, 999] as [UInt64] { #expect(!throttle.admits("a", at: Self.at(time))) }
    #expect(throttle.admits("b", at: Self.at(5)), "another key has its own window")
    #expect(throttle.admits("a", at: Self.at(1000)))
    #expect(throttle.takeSuppressed("a") == 3 && throttle.takeSuppressed("a") == 0)
    #expect(!throttle.admits("a", at: Self.at(1001)), "and begins another window")
  }

  @Test func `what was left out is told when the window is over, and then forgotten`() {
    let throttle = Throttle()
    for _ in 0..<5 { _ = throttle.admits("a", at: Self.at(0)) }
    _ = throttle.admits("b", at: Self.at(0))
    #expect(throttle.takeDue(at: Self.at(999)).isEmpty)
    let due = throttle.takeDue(at: Self.at(1000))
    #expect(due.map(\.key) == ["a"] && due.map(\.suppressed) == [4])
    #expect(!throttle.admits("a", at: Self.at(1500)), "the line that told it counts as one")
    #expect(throttle.takeDue(at: Self.at(2000)).map(\.suppressed) == [1])
    #expect(throttle.takeDue(at: Self.at(3000)).isEmpty && throttle.isEmpty)
  }

  @Test func `at the end everything is told at once`() {
    let throttle = Throttle()
    for _ in 0..<2 { _ = throttle.admits("a", at: Self.at(0)) }
    #expect(throttle.takeDue(at: Self.at(1), isLast: true).map(\.suppressed) == [1])
  }
}
