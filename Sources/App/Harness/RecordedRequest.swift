package import Time

/// A request as a scripted backend saw it.
package struct RecordedRequest: Sendable {
  package enum State: Sendable, Equatable {
    /// The body has not all come.
    case receiving
    case playing
    /// The script came to its end.
    case finished(Script.End)
    /// The client closed or reset before the script's end.
    case abandoned
  }

  /// Counted from 0 in the order of arrival.
  package let number: Int
  /// Which of the backend's connections brought it, counted from 0.
  package let connection: Int
  package let head: WireHead
  package let startedAt: MonotonicTime
  /// The body as far as it is kept: its first MiB.
  package internal(set) var body: [UInt8] = []
  /// All bytes of the body.
  package internal(set) var bodyLength = 0
  package internal(set) var state = State.receiving
  /// When the peer's FIN or reset was seen, if that was while the request was open.
  package internal(set) var peerClosedAt: MonotonicTime?
  package internal(set) var endedAt: MonotonicTime?

  package var method: String { head.words.first ?? "" }
  package var target: String { head.words.count > 1 ? head.words[1] : "" }
  package var path: String { String(target.prefix { $0 != "?" }) }
  /// What stands behind the target's question mark.
  package var query: String { String(target.drop { $0 != "?" }.dropFirst()) }

  package var isOpen: Bool { state == .receiving || state == .playing }
}
