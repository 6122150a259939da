import Bytes
import Configuration
import HTTP
import Loop
import Sockets
import Streams
import Telemetry
import Time
import Upstreams

/// Sends spans to a collector (OTLP/HTTP with JSON). `ExportMachine` decides; here it is done.
///
/// Lives on the main thread's loop, where nobody's stream waits for it.
final class SpanExporter {
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
  private var request: CollectorRequest?
  private var timer: Timer?
  /// Called when all is sent, or can't be: the process ends.
  private var drained: (() -> Void)?

  /// How often the clock is looked at.
  private static let lookInterval = Nanoseconds.milliseconds(250)

  /// - Returns: `nil` when there is no collector.
  init?(_ settings: TracingSettings, sink: SpanSink, build: BuildInfo, instance: String, loop: EventLoop) {
    guard let collector = settings.collector else { return nil }
    self.settings = settings
    self.collector = collector
    self.sink = sink
    self.loop = loop
    version = build.version
    dialer = Dialer(loop: loop)
    var resource: [(name: String, value: SpanRecord.Value)] = [
      (name: "service.name", value: .text(settings.serviceName)),
      (name: "service.version", value: .text(build.version)), (name: "service.instance.id", value: .text(instance)),
    ]
    for (name, value) in settings.resource where name != "service.name" { resource.append((name, .text(value))) }
    self.resource = resource
    machine = ExportMachine(at: loop.now)
  }

  func start() {
    let timer = Timer(loop: loop) { [unowned self] in
      look()
      start()
    }
    timer.schedule(after: Self.lookInterval)
    self.timer = timer
  }

  /// Sends what is left.
  ///
  /// - Parameter completion: called once: at once when there is nothing.
  func finish(_ completion: @escaping () -> Void) {
    drained = completion
    look()
  }

  func close() {
    drained = nil
    timer?.cancel()
    request?.cancel()
    request = nil
  }

  private func look() {
    let now = loop.readClock()
    switch machine.look(at: now, waiting: sink.waiting, isLast: drained != nil) {
    case .nothing: break
    case .send(let limit):
      batch = sink.take(atMost: limit)
      send()
    case .sendAgain: send()
    case .abandon:
      request?.cancel()
      settle(machine.failed(at: now))
    }
    if !machine.isBusy, sink.waiting == 0, let drained = drained.take() { drained() }
  }

  private func send() {
    var body = ByteBuffer()
    SpanBatch.write(batch, of: resource, version: version, to: &body)
    let request = CollectorRequest(collector, headers: settings.headers, body: body.toArray()) {
      [unowned self] answer in
      self.request = nil
      let now = loop.readClock()
      settle(
        answer.map { machine.answered($0.status, retryAfter: $0.retryAfter, at: now) } ?? machine.failed(at: now))
    }
    self.request = request
    request.begin(dialer, room)
  }

  private func settle(_ fate: ExportMachine.Fate) {
    switch fate {
    case .kept: return
    case .exported: sink.note(exported: batch.count)
    case .failed: sink.note(failed: batch.count)
    }
    batch = []
    if drained != nil { look() }
  }
}

/// One request to a collector, and its answer's head.
private final class CollectorRequest: ConnectionHandler {
  typealias Answer = (status: Int, retryAfter: Nanoseconds?)

  private let collector: UpstreamSettings
  private let headers: [HeaderSetting]
  private let body: [UInt8]
  private var completion: ((Answer?) -> Void)?
  private var dial: UpstreamDial?
  private var connection: (any Connection)?
  private var parser = ResponseHeadParser()

  /// - Parameter completion: called once, with `nil` when there was no answer; not at all after `cancel()`.
  init(
    _ collector: UpstreamSettings, headers: [HeaderSetting], body: [UInt8], completion: @escaping (Answer?) -> Void
  ) {
    self.collector = collector
    self.headers = headers
    self.body = body
    self.completion = completion
  }

  func begin(_ dialer: Dialer, _ room: UpstreamRoom) {
    dial = UpstreamDial(collector, dialer: dialer, room: room) { [self] result in
      dial = nil
      switch result {
      case .success(let connection): ask(connection)
      case .failure: finish(nil)
      }
    }
  }

  private func ask(_ connection: any Connection) {
    guard completion != nil else { return connection.close() }
    self.connection = connection
    connection.handler = self
    var fields = Fields()
    fields.append(.contentType, literal: "application/json")
    fields.append(.userAgent, literal: "fermata")
    fields.append(.contentLength, decimal: body.count)
    for header in headers { fields.set(header.name, header.value) }
    var request = ByteBuffer()
    HTTP1Head.writeLastRequest(
      .post, target: collector.url.basePath + "/v1/traces", authority: collector.url.authority, fields: fields,
      into: &request)
    request.append(body)
    connection.write(request.span)
    connection.startReading()
  }

  func connectionReceived(_ input: InputBuffer) {
    do {
      guard case .complete(let head, _) = try parser.parse(input.bytes) else { return }
      let fields = head.fields
      let seconds = fields.string(.retryAfter).flatMap { Int($0) }
      finish((head.status, seconds.map { Nanoseconds.seconds(min(max(0, $0), 86_400)) }))
    } catch {
      finish(nil)
    }
  }

  func connectionDrained() {}
  func connectionEnded(_ end: ConnectionEnd) { finish(nil) }

  private func finish(_ answer: Answer?) {
    let completion = completion.take()
    cancel()
    completion?(answer)
  }

  func cancel() {
    completion = nil
    dial?.cancel()
    dial = nil
    connection?.close()
    connection = nil
  }
}
