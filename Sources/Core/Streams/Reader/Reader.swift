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
  func finish(_ ending: Ending, tail: some StreamTail, into out: inout ByteBuffer) -> BodyEnd
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

/// What taking the new closing back means for a graceful stream that is open.
package enum Recall: Int, Comparable, Sendable {
  case none
  /// It gets the `stream_end` that it was promised, which says that the client's next stream is legacy.
  case announced
  /// It ends the old way: without `stream_end`, the truth in the framing.
  case hard

  package static func < (left: Recall, right: Recall) -> Bool { left.rawValue < right.rawValue }
}

/// Why and how a reader's response ends.
package struct Ending {
  package var streamEnd: StreamEnd
  /// Whether the backend's body ended by its own framing.
  package var upstreamIsComplete: Bool
  /// Whether the new closing was taken back while the stream was open.
  package var recall: Recall

  package init(streamEnd: StreamEnd, upstreamIsComplete: Bool, recall: Recall) {
    self.streamEnd = streamEnd
    self.upstreamIsComplete = upstreamIsComplete
    self.recall = recall
  }

  package var outcome: Outcome { streamEnd.outcome }

  /// The truth in the framing, where nothing else can tell it.
  package var framing: BodyEnd {
    upstreamIsComplete && outcome.isCleanEnd ? .complete : .cut
  }
}
