package import Bytes

/// One client response attached to a run: how what the run has becomes what the client gets.
///
/// Pure: bytes go into `out`, which the caller sends. Lives on its run's loop.
package protocol Reader: EventSink {
  var mode: Mode { get }

  /// What follows the response's head at once.
  func open(into out: inout ByteBuffer)

  /// Whether an event without an id of its own reaches its client as the backend sent it behind the line
  /// `id: <stream>.<number>`: then it is sent from a log as it is kept there, and `deliver` is not called for it.
  var takesFramed: Bool { get }

  /// Such events went to its client; `number` is the last one's.
  func tookFramed(upTo number: UInt64)

  /// Ends the response; `ending` says why and with what counts.
  ///
  /// - Returns: whether the body's framing ends cleanly; a cut otherwise.
  func finish(_ ending: Ending, run: some RunTail, into out: inout ByteBuffer) -> BodyEnd
}

extension Reader {
  package var takesFramed: Bool { false }
  package func tookFramed(upTo number: UInt64) {}
}

/// How the framing of a response's body ends.
package enum BodyEnd: Equatable, Sendable {
  /// With its last chunk (or its equal in another framing).
  case complete
  /// Without it: the client can see that something is missing.
  case cut
}

/// Why and how a reader's response ends.
package struct Ending {
  package var streamEnd: StreamEnd
  /// Whether the backend's body ended by its own framing.
  package var upstreamIsComplete: Bool
  /// Whether the old closing must be used though the reader is graceful: the flag was killed meanwhile.
  package var isKilled: Bool

  package init(streamEnd: StreamEnd, upstreamIsComplete: Bool, isKilled: Bool) {
    self.streamEnd = streamEnd
    self.upstreamIsComplete = upstreamIsComplete
    self.isKilled = isKilled
  }

  package var outcome: Outcome { streamEnd.outcome }

  /// The truth in the framing, where nothing else can tell it.
  package var framing: BodyEnd {
    upstreamIsComplete && outcome.isCleanEnd ? .complete : .cut
  }
}
