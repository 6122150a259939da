package import HTTP

/// What a session offers its client, and what it bears from it.
package struct HTTP2Settings: Sendable, Equatable {
  /// Streams that may be open at a time.
  package var streams: Int
  /// Bytes of a request's body that may wait to be consumed: for each stream, and for all of a connection together. The
  /// second is larger, so that one upload that nobody takes can't stop the others.
  package var streamWindow: Int
  package var connectionWindow: Int
  /// `head` and `fields` bound a request's header section, counted as RFC 9113, 6.5.2 does.
  package var head: HeadLimits
  package var budget: FrameBudget.Limits

  package init(
    streams: Int = 128, streamWindow: Int = 65_535, connectionWindow: Int = 1 << 20, head: HeadLimits = HeadLimits(),
    budget: FrameBudget.Limits = FrameBudget.Limits()
  ) {
    self.streams = streams
    self.streamWindow = streamWindow
    self.connectionWindow = connectionWindow
    self.head = head
    self.budget = budget
  }
}
