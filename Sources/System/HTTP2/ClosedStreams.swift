/// Tells frames on closed streams that a client can't help from those that no honest one sends (RFC 9113, 5.1).
///
/// A client that has not read a reset yet goes on sending. After its own end or reset it must not.
struct ClosedStreams {
  /// Resets that are remembered. Older ones, and all before them, are forgiven.
  private static let limit = 256

  /// The highest stream that the client has opened.
  private(set) var last: HTTP2StreamID = 0
  /// Streams that this side closed, oldest first.
  private var reset: [HTTP2StreamID] = []
  private var highestForgotten: HTTP2StreamID = 0
  /// A stream whose head has begun to come.
  private var beginning: HTTP2StreamID?

  /// A head begins to come on a stream that is not open.
  ///
  /// - Returns: whether it is a new stream.
  mutating func opens(_ id: HTTP2StreamID) -> Bool {
    guard id > last else { return false }
    last = id
    beginning = id
    return true
  }

  /// The stream is open now.
  mutating func opened() { beginning = nil }

  /// Another frame comes. A stream whose head is complete and which is not open has been refused.
  mutating func headIsComplete() {
    guard let id = beginning else { return }
    beginning = nil
    wasReset(id)
  }

  /// This side has reset a stream.
  mutating func wasReset(_ id: HTTP2StreamID) {
    reset.append(id)
    guard reset.count > Self.limit else { return }
    highestForgotten = max(highestForgotten, reset.removeFirst())
  }

  /// Whether a frame on a stream that is closed may have been sent before the client knew.
  func forgives(_ id: HTTP2StreamID) -> Bool {
    id > last || id <= highestForgotten || reset.contains(id)
  }
}
