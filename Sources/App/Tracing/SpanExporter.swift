import Bytes
package import Configuration
import HTTP
package import Loop
import Sockets
import Streams
import Telemetry
import Time
import Upstreams

/// Sends spans to a collector (OTLP/HTTP with JSON). `ExportMachine` decides; here it is done.
///
/// Lives on the main thread's loop, where nobody's stream waits for it.
package final class SpanExporter {
  private let settings: TracingSettings
  private let collector: UpstreamSettings
  private let sink: SpanSink
  private let loop: EventLoop
  private let resource: [(name: String, value: SpanRecord.Value)]
  private let version: String
  private let dialer: Dialer
  private let room = UpstreamRoom(limit: 1) { false }
  private var machine: ExportMachine
  private var batch: [[UInt8]] = []
  private var question: BackendQuestion?
  private var timer: Timer?
  /// Called when all is sent, or can't be: the process ends.
  private var drained: (() -> Void)?

  /// How often it is asked what is to be done.
  private static let stepInterval = Nanoseconds.milliseconds(250)

  /// - Parameters:
  ///   - version: the program's.
  ///   - instance: what tells this process from others of the service.
  /// - Returns: `nil` when there is no collector.
  package init?(_ settings: TracingSettings, sink: SpanSink, version: String, instance: String, loop: EventLoop) {
    guard let collector = settings.collector else { return nil }
    self.settings = settings
    self.collector = collector
    self.sink = sink
    self.loop = loop
    self.version = version
    dialer = Dialer(loop: loop)
    var resource: [(name: String, value: SpanRecord.Value)] = [
      (name: "service.name", value: .text(settings.serviceName)),
      (name: "service.version", value: .text(version)), (name: "service.instance.id", value: .text(instance)),
    ]
    for (name, value) in settings.resource where name != "service.name" { resource.append((name, .text(value))) }
    self.resource = resource
    machine = ExportMachine(at: loop.now)
  }

  package func start() {
    let timer = Timer(loop: loop) { [unowned self] in
      performStep()
      start()
    }
    timer.schedule(after: Self.stepInterval)
    self.timer = timer
  }

  /// Sends what is left.
  ///
  /// - Parameter completion: called once: at once when there is nothing.
  package func finish(_ completion: @escaping () -> Void) {
    drained = completion
    performStep()
  }

  package func close() {
    drained = nil
    timer?.cancel()
    question?.cancel()
    question = nil
  }

  private func performStep() {
    let now = loop.readClock()
    switch machine.nextStep(at: now, waiting: sink.waiting, isLast: drained != nil) {
    case .nothing: break
    case .send(let limit):
      batch = sink.take(atMost: limit)
      send()
    case .sendAgain: send()
    case .abandon:
      question?.cancel()
      finishTry(machine.failed(at: now))
    }
    if !machine.isBusy, sink.waiting == 0, let drained = drained.take() { drained() }
  }

  private func send() {
    var body = ByteBuffer()
    SpanBatch.write(batch, of: resource, version: version, to: &body)
    let question = BackendQuestion(request(with: body.toArray())) { [unowned self] head in
      self.question = nil
      let now = loop.readClock()
      finishTry(
        head.map { machine.answered($0.status, retryAfter: Self.pause($0), at: now) } ?? machine.failed(at: now))
    }
    self.question = question
    question.begin { [collector, dialer, room] in UpstreamDial(collector, dialer: dialer, room: room, completion: $0) }
  }

  private func request(with body: [UInt8]) -> HTTP1Request {
    var fields = Fields()
    fields.append(.contentType, literal: "application/json")
    fields.append(.userAgent, literal: "fermata")
    fields.append(.contentLength, decimal: body.count)
    for header in settings.headers { fields.set(header.name, header.value) }
    return HTTP1Request(
      .post, collector.url.basePath + "/v1/traces", authority: collector.url.authority, fields: fields, body: body,
      isLast: true)
  }

  /// How long the collector wants to be left alone; a day at most.
  private static func pause(_ head: ResponseHead) -> Nanoseconds? {
    let fields = head.fields
    return fields.string(.retryAfter).flatMap { Int($0) }.map { .seconds(min(max(0, $0), 86_400)) }
  }

  private func finishTry(_ fate: ExportMachine.Fate) {
    switch fate {
    case .kept: return
    case .exported: sink.note(exported: batch.count)
    case .failed: sink.note(failed: batch.count)
    }
    batch = []
    if drained != nil { performStep() }
  }
}
