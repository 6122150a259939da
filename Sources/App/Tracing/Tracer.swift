import Bytes
package import Configuration
package import HTTP
package import Loop
import Processes
package import Telemetry
import Time

/// Begins the traces of one loop's requests, and hands over their spans.
///
/// Confined to its loop's thread.
package final class Tracer {
  let loop: EventLoop
  /// `nil`: nothing is recorded.
  let sink: SpanSink?
  /// An open stream leaves a span each such time.
  let progress: Nanoseconds
  private let generates: Bool
  private let sampler: TraceSampler
  /// Ids of traces need to be unlike each other, and nobody gains by guessing one.
  private var random: SplitMix

  package init(_ settings: TracingSettings, sink: SpanSink?, loop: EventLoop) {
    self.loop = loop
    self.sink = sink
    progress = settings.progress
    generates = settings.generates
    sampler = TraceSampler(share: settings.sample)
    random = SplitMix(state: Host.randomWords(1)[0])
  }

  /// What a request's trace is.
  package struct Start {
    /// The request's own span, or the one that was given where it has none.
    package let context: TraceContext
    /// The span that called for it.
    let parent: SpanID?
    /// Whether the backend gets the client's `traceparent` as it is.
    package let isGiven: Bool
  }

  /// `nil` where it has none, and gets none.
  package func start(_ request: borrowing RequestHead) -> Start? {
    if let given = request.traceContext {
      guard sink != nil, given.isSampled else { return Start(context: given, parent: nil, isGiven: true) }
      return Start(context: given.passedOn(by: nextSpan()), parent: given.span, isGiven: false)
    }
    guard generates || sink != nil else { return nil }
    let trace = TraceID(high: random.next(), low: random.next())
    let isSampled = sink != nil && sampler.samples(trace)
    return Start(
      context: TraceContext(trace: trace, span: nextSpan(), isSampled: isSampled), parent: nil, isGiven: false)
  }

  func nextSpan() -> SpanID { SpanID(random.next()) }

  func ended(_ span: SpanRecord) {
    var text = ByteBuffer()
    span.write(to: &text)
    sink?.add(text.toArray())
  }
}

/// Numbers that look random (Steele, Lea and Flood, "Fast splittable pseudorandom number generators").
private struct SplitMix {
  var state: UInt64

  /// Never zero, which is no id.
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = state
    word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
    word ^= word >> 31
    return word == 0 ? 1 : word
  }
}

extension RequestHead {
  /// What `traceparent` says; `nil` where W3C Trace Context (3.2.2) says to take no notice of it.
  fileprivate var traceContext: TraceContext? {
    let fields = fields
    guard let index = fields.firstIndex(of: .traceparent) else { return nil }
    return TraceContext(parsing: fields.value(at: index))
  }
}
