import HTTP
import Time

/// What a session knows of one stream that is open.
final class StreamRecord {
  let id: HTTP2StreamID
  /// Whether its owner was told of it.
  var isAnnounced = false
  /// Whether the owner has been told, or has said, that it is over.
  var isOver = false
  /// Whether this side has asked for its reset.
  var isReset = false
  /// Whether the client sends no more.
  var requestIsWhole = false
  /// Whether the request's body is of no use to anybody.
  var dropsBody = false
  var declared = DeclaredLength(.chunked)
  /// Whether the request said how urgent it is (RFC 9218).
  var hasPriority = false

  var isAnswered = false
  var body: (any HTTP2Body)?
  var headSentAt: MonotonicTime?
  var hasSentBody = false
  var endIsSent = false
  /// Whether the cut was reached.
  var isAtCut = false
  /// The write from which on some of the body waits; `nil` when none does.
  var waitsSince: UInt32?
  /// Whether what was framed last was cut short by the client's window.
  var isShort = false
  /// The write in which the owner was last told of room.
  var roomToldIn: UInt32 = 0

  init(id: HTTP2StreamID) {
    self.id = id
  }

  var progress: FrameBudget.AnswerProgress {
    headSentAt.map { .headSent($0, sentBody: hasSentBody) } ?? .headNotSent
  }
}
