/// What has been counted for the streams of one variant: sums since the process began.
package struct GuardArm: Equatable, Sendable {
  /// Streams that have ended.
  package var closed = 0
  /// Of these: the backend was cut, or framing broke.
  package var truncated = 0
  /// The client left before the end.
  package var aborted = 0
  /// The last bytes were neither confirmed by the client nor acknowledged by its kernel.
  package var unconfirmed = 0
  /// The client came back within five seconds of the end.
  package var reconnected = 0
  /// Times to the first token, in milliseconds: how many, their sum, the sum of their squares.
  package var firstTokens = 0
  package var firstTokenSum = 0.0
  package var firstTokenSquares = 0.0

  package init() {}

  package mutating func countFirstToken(milliseconds: Double) {
    firstTokens += 1
    firstTokenSum += milliseconds
    firstTokenSquares += milliseconds * milliseconds
  }

  package mutating func add(_ other: GuardArm) {
    closed += other.closed
    truncated += other.truncated
    aborted += other.aborted
    unconfirmed += other.unconfirmed
    reconnected += other.reconnected
    firstTokens += other.firstTokens
    firstTokenSum += other.firstTokenSum
    firstTokenSquares += other.firstTokenSquares
  }

  /// What was counted between two moments.
  package static func - (later: GuardArm, earlier: GuardArm) -> GuardArm {
    var difference = later
    difference.closed -= earlier.closed
    difference.truncated -= earlier.truncated
    difference.aborted -= earlier.aborted
    difference.unconfirmed -= earlier.unconfirmed
    difference.reconnected -= earlier.reconnected
    difference.firstTokens -= earlier.firstTokens
    difference.firstTokenSum -= earlier.firstTokenSum
    difference.firstTokenSquares -= earlier.firstTokenSquares
    return difference
  }
}
