package import HTTP

package typealias HTTP2StreamID = Int32

/// What happened on a session. Nothing is said of a stream before it was opened, or after `reset` or `over`, but for
/// `confirmed`: the answer to a PING may come behind a reset.
package enum HTTP2Event: Sendable {
  /// A request came. With `isWhole` it has no body: `ended` does not follow.
  case opened(HTTP2StreamID, RequestHead, isWhole: Bool)
  /// A request came that can't be taken. It waits for an answer; its body, if any, is dropped.
  case refused(HTTP2StreamID, HTTP2Fault)
  /// A piece of a request's body stands at `range` of the input that was received last. The session has to be told when
  /// it was consumed.
  case data(HTTP2StreamID, Range<Int>)
  /// A request's body is complete.
  case ended(HTTP2StreamID)
  /// The stream is gone: the client reset it, or had to be refused for a fault.
  case reset(HTTP2StreamID, HTTP2ErrorCode)
  /// Some of a body that was held up by a window or by the sink has been framed.
  case roomFor(HTTP2StreamID)
  /// The end of an answer, or its cut, has been written: all of it is in the sink.
  case written(HTTP2StreamID)
  /// The client's HTTP/2 stack has everything that was framed for the stream, which ended or reached its cut.
  case confirmed(HTTP2StreamID)
  /// The answer to `ping()`.
  case pingAnswered
  /// The client has used up most of its budget: the connection takes its leave as after `announceShutdown()`.
  case retiring
  /// Nothing more is read, and all has been written: the connection can be closed. All its streams are gone.
  case over(HTTP2ErrorCode)
}
