import Bytes

/// Takes what a session writes. Called from `HTTP2Session.write(to:at:)` only, and must not call the session.
package protocol HTTP2Sink: AnyObject {
  /// Whether it takes body. While it does not, bodies stay with their owners; other frames come all the same.
  var takesBody: Bool { get }
  /// Takes all of `bytes`: one frame or several. Many are small, so they should be gathered and sent together.
  func write(_ bytes: Span<UInt8>)
}

/// The body of an answer, kept by whoever makes it until it is framed. Must not call the session from these.
package protocol HTTP2Body: AnyObject {
  /// What can be framed now.
  var ready: HTTP2BodyPart { get }
  /// Writes `header` and then the first `count` bytes of what is ready to `sink`, all of it, and drops them.
  func write(_ header: Span<UInt8>, count: Int, to sink: any HTTP2Sink)
}

/// How much of a body is ready, and what comes after it.
package struct HTTP2BodyPart: Sendable, Equatable {
  package enum Next: Sendable {
    /// More, later.
    case more
    /// The body's end.
    case end
    /// Nothing, and not the end either: the stream is going to be reset, but not before the client has the rest.
    case cut
  }

  package var count: Int
  package var next: Next

  package init(count: Int, next: Next) {
    self.count = count
    self.next = next
  }
}

/// A body that holds its bytes itself.
package final class HTTP2StoredBody: HTTP2Body {
  private var bytes = ByteBuffer()
  private var next = HTTP2BodyPart.Next.more

  package init() {}

  /// A whole body.
  package init(_ bytes: Span<UInt8>) {
    self.bytes.append(bytes)
    next = .end
  }

  /// Bytes that are not framed yet.
  package var count: Int { bytes.count }

  package func append(_ more: Span<UInt8>) { bytes.append(more) }

  /// Nothing is appended any more. The session has to be told by `resume`.
  package func finish(isCut: Bool = false) { next = isCut ? .cut : .end }

  package var ready: HTTP2BodyPart { HTTP2BodyPart(count: bytes.count, next: next) }

  package func write(_ header: Span<UInt8>, count: Int, to sink: any HTTP2Sink) {
    sink.write(header)
    bytes.withSpan { sink.write($0.extracting(first: count)) }
    bytes.removeFirst(count)
    if bytes.isEmpty { bytes.release() }
  }
}
