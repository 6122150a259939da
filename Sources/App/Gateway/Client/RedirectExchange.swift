import Bytes
import HTTP
import Loop
import Runs
import Streams
import Telemetry
import Time
import Tracing

/// A request on a listener that serves nobody without TLS: it is answered with the same target over https.
final class RedirectExchange: ClientExchange {
  let method: HTTP.Method
  let record: RequestRecord
  private let request: RequestHead
  private let client: any ClientStream
  private let context: LoopContext

  /// - Parameters:
  ///   - logged: who asked, as the log may say it.
  ///   - redactions: what of the path it may not say.
  init(
    _ request: RequestHead, client: any ClientStream, logged: String, redactions: PathRedactions,
    context: LoopContext
  ) {
    self.request = request
    self.client = client
    self.context = context
    method = request.method
    record = RequestRecord(
      request, id: context.nextStreamID(), from: client.forwarded, logged: logged,
      redactions: redactions, tracer: context.tracer, at: context.loop.readClock())
  }

  var stream: ClientDelivery? { nil }
  var backend: BackendStanding? { nil }
  var routeName: String? { nil }
  var isWaiting: Bool { !client.headIsSent }
  var store: (any RunStore)? { nil }

  func begin() {
    var fields = Fields()
    record.append(to: &fields)
    guard let location = request.secureLocation else {
      record.code = "no_host"
      context.shard.increment(context.metrics.refusals[.badRequest])
      done(400)
      return client.refuse(
        ErrorResponse(
          status: 400, code: "no_host", message: "the request does not say which host it wants over https",
          fields: fields))
    }
    done(308)
    fields.set(.location, location)
    guard request.framing.mayHaveBytes else { return client.answer(ResponseDraft(status: 308, fields: fields)) }
    // Nobody reads the body, so the connection ends with the answer.
    client.refuse(
      ErrorResponse(status: 308, code: "https_only", message: "this is served over https", fields: fields))
  }

  private func done(_ status: Int) {
    context.routes.answered(status, by: .gateway, on: nil)
    record.answered(status, by: .gateway, at: context.loop.now)
    record.write(to: context.log, at: context.loop.readClock(), context.loop.wallTime())
  }

  func requestBodyReceived(_ input: InputBuffer, _ range: Range<Int>) {}
  func requestBodyEnded() {}
  func clientDrained() {}
  func clientHalfClosed() {}
  func clientGone() {}
  func clientBrokeFraming(status: Int, code: String) -> Fields { Fields() }
  func finishStream(_ outcome: Outcome, reason: String) {}
  func drainIsOver() {}
  func timePassed(_ now: MonotonicTime) -> MonotonicTime? { nil }
}
