import Bytes
import HTTP
import Streams
import Time

extension HTTP.Method {
  /// What making a request of this method again may do.
  var effect: RequestEffect { isSafe ? .none : isIdempotent ? .idempotent : .repeated }
}

extension ResponseHead {
  /// The response as `Waterfall` sees it.
  func answer(to request: borrowing RequestHead, framing: BodyFraming, at now: @autoclosure () -> WallTime) -> Answer {
    Answer(
      status: status, kind: kind(for: request), isEmpty: !framing.mayHaveBytes, retryAfter: retryAfter(at: now()))
  }

  private func kind(for request: borrowing RequestHead) -> Answer.Kind {
    // What HEAD is answered has no events, whatever it says of those that GET would bring.
    if request.method == .head { return .accepted }
    if isEventStream { return fields.hasContentCoding ? .encodedEvents : .events }
    return request.fields.accepts(fields.first(.contentType)) ? .accepted : .unasked
  }

  /// What `Retry-After` says, as a delay of at most a day (RFC 9110, 10.2.3).
  func retryAfter(at now: @autoclosure () -> WallTime) -> Nanoseconds? {
    guard let value = fields.first(.retryAfter) else { return nil }
    if let seconds = value.decimalValue { return .seconds(min(seconds, 86_400)) }
    guard let date = WallTime(httpDate: value) else { return nil }
    return .milliseconds(Int(min(max(0, date.milliseconds - now().milliseconds), 86_400_000)))
  }
}
