internal import Harness
package import Time

/// What the backend does for one stream of a race or of a load, and when its client leaves.
package struct CrowdPlay: Sendable {
  /// When a client leaves that does not wait for its sign of the end.
  package enum Leaving: Equatable, Sendable {
    /// So long after its request: it may have got nothing yet.
    case afterRequest(Nanoseconds)
    /// So long after the first byte of its answer.
    case afterFirstByte(Nanoseconds)
  }

  package let play: Play
  package let leaves: Leaving?

  /// A stream of a few milliseconds, of which every second client leaves at any moment of it; one in sixteen may leave
  /// before it opens.
  package static func race(seed: UInt64) -> CrowdPlay {
    var random = Randomness(state: seed)
    var play = Play()
    for number in 1...(1 + Int(random.next() % 4)) {
      play.say([MatrixDialect.generic.token(number)], pause: .milliseconds(Int(random.next() % 4)))
    }
    play.say(MatrixDialect.generic.completion, pause: .milliseconds(Int(random.next() % 3)))
    for number in 1...2 {
      play.say([MatrixDialect.generic.trailing(number)], pause: .milliseconds(Int(random.next() % 3)))
    }
    play.then(.end)
    guard random.next() % 2 == 0 else { return CrowdPlay(play: play, leaves: nil) }
    let delay = Nanoseconds.milliseconds(Int(random.next() % 30))
    return CrowdPlay(play: play, leaves: random.next() % 8 == 0 ? .afterRequest(delay) : .afterFirstByte(delay))
  }

  /// A stream that is open for about `seconds`, an event twice a second.
  package static func load(seed: UInt64, seconds: Int) -> CrowdPlay {
    var random = Randomness(state: seed)
    var play = Play()
    for number in 1...max(1, seconds * 2) {
      play.say([MatrixDialect.generic.token(number)], pause: .milliseconds(450 + Int(random.next() % 100)))
    }
    play.say(MatrixDialect.generic.completion, pause: .milliseconds(Int(random.next() % 3)))
    play.say([MatrixDialect.generic.trailing(1), MatrixDialect.generic.trailing(2)], pause: .milliseconds(1))
    play.then(.end)
    return CrowdPlay(play: play, leaves: nil)
  }
}

/// SplitMix64: the same numbers for the same seed.
private struct Randomness {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = state
    word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
    return word ^ (word >> 31)
  }
}
