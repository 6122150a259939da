import Bytes
import FermataClientCore
import Glibc
import HTTP
import HTTP2
import Loop
import Sockets
import TLS
import Time

/// Follows one stream over as many connections as it takes. What it knows and decides is the client library's; here
/// are its connections and its clock.
final class TailSession {
  private let options: TailOptions
  private let loop: EventLoop
  private var printer: TailPrinter
  private var machine: Machine
  private var attempt: DialAttempt?
  private var response: (any TailAnswer)?
  private lazy var timer = Timer(loop: loop) { [unowned self] in
    machine.tick(now)
    performDecisions()
  }
  private var hasStream = false
  private var conclusion: TailConclusion?

  private static let connectTimeout = Nanoseconds.seconds(10)

  private init(_ options: TailOptions) throws(LoopError) {
    self.options = options
    loop = try EventLoop()
    printer = TailPrinter(isJSON: options.isJSON)
    machine = Machine(method: options.method.name, url: options.origin + options.target, options: options.stream)
  }

  static func run(_ options: TailOptions) -> Int32 {
    do {
      let session = try TailSession(options)
      session.machine.start(session.now)
      session.performDecisions()
      session.loop.run()
      return session.conclusion?.exitStatus ?? ExitStatus.failure
    } catch {
      Terminal.error("fermata tail: \(error)")
      return ExitStatus.failure
    }
  }

  private var now: Double { Double(loop.readClock().nanoseconds) / 1e9 }

  private func connect(_ plan: RequestPlan) {
    attempt = Dialer(loop: loop).connect(
      host: options.host, port: options.port, timeout: Self.connectTimeout
    ) { [unowned self] result in
      attempt = nil
      switch result {
      case .failure(let error): over(plan.exchange, isWhole: false, "\(error)")
      case .success(let connection): secure(connection, plan)
      }
    }
  }

  /// Shakes hands first where the URL says https.
  private func secure(_ connection: TCPConnection, _ plan: RequestPlan) {
    guard let context = options.tls else { return ask(plan, on: connection) }
    TLSConnection.connect(
      over: connection, context: context, serverName: options.host, timeout: Self.connectTimeout
    ) { [unowned self] result in
      switch result {
      case .failure(let error): over(plan.exchange, isWhole: false, "\(error)")
      case .success(let connection): ask(plan, on: connection, isHTTP2: connection.applicationProtocol == "h2")
      }
    }
  }

  private func ask(_ plan: RequestPlan, on connection: any Connection, isHTTP2: Bool = false) {
    guard plan.exchange == machine.exchange else { return connection.close() }
    var fields = options.fields
    let method = plan.isOriginal ? options.method : .get
    if !plan.isOriginal {
      fields.removeAll(.contentLength)
      fields.removeAll(.contentType)
    }
    if let id = plan.lastEventID.flatMap({ FieldValue($0) }) { fields.set(.lastEventID, id) }
    let target = plan.url.dropFirst(options.origin.count)
    if isHTTP2 { return ask(plan, method, String(target), fields, over: connection) }
    var request = ByteBuffer()
    HTTP1Request(method, String(target), fields: fields, body: plan.isOriginal ? options.body : [])
      .write(into: &request)
    let response = TailResponse(plan.exchange, connection: connection, method: method, session: self)
    self.response = response
    request.withSpan { connection.write($0) }
    response.start()
  }

  private func ask(
    _ plan: RequestPlan, _ method: HTTP.Method, _ target: String, _ fields: Fields, over connection: any Connection
  ) {
    let request = HTTP2Request(
      method: method, authority: options.authority, path: target, fields: fields,
      body: plan.isOriginal ? options.body : [])
    do throws(HTTP2SessionError) {
      let response = try TailHTTP2Response(plan.exchange, request, connection: connection, session: self)
      self.response = response
      response.start()
    } catch {
      connection.close()
      over(plan.exchange, isWhole: false, "\(error)")
    }
  }

  // MARK: - What a response says

  func headCame(_ exchange: Int, _ head: Head) {
    machine.head(exchange, now, head, retryAfter: head.retryAfter(HTTPDate.seconds, wallClock: HTTPDate.now))
    performDecisions()
  }

  func received(_ exchange: Int, _ bytes: [UInt8]) {
    machine.data(exchange, now, bytes)
    performDecisions()
  }

  func over(_ exchange: Int, isWhole: Bool, _ why: String) {
    machine.over(exchange, now, clean: isWhole, why)
    performDecisions()
  }

  /// After each input: prints what came, and does what the machine decided.
  private func performDecisions() {
    guard conclusion == nil else { return }
    while let message = machine.take(now) {
      if case .event(let event) = message {
        printer.event(type: event.type, data: event.data, id: machine.tookOwn ? nil : event.id)
      }
    }
    let effects = machine.effects
    machine.effects = []
    for case .state(let state) in effects { tell(state) }
    if let conclusion { return stop(conclusion) }
    if let response, response.exchange != machine.exchange { response.close() }
    if machine.phase == .send { connect(machine.plan(now)) }
    if let deadline = machine.deadline { timer.schedule(after: .seconds(max(0, deadline - now))) }
  }

  private func tell(_ state: StreamState) {
    switch state {
    case .opened(let info):
      let id = info.streamID.map { ", stream \($0)" } ?? ""
      printer.note(hasStream ? "resumed" : "connected, \(info.mode ?? "no gateway's mode")\(id)")
      hasStream = true
    case .reconnecting(_, let error) where !hasStream:
      // What never began is not waited for.
      conclusion = .noStream(error)
    case .reconnecting(let pause, let error):
      let outcome = Machine.resumedEnds.contains(error.code) ? "\(error.code): " : ""
      let time = Int(pause / .milliseconds(1))
      printer.note("\(outcome)\(error.message); asking again from \(machine.lastEventID) in \(time) ms")
    case .closed:
      guard let result = machine.result else { return }
      conclusion =
        hasStream ? .of(result, lastStatus: machine.lastStatus) : conclusion ?? .noStream(result.error)
    case .late, .completing, .paused: break
    }
  }

  private func stop(_ conclusion: TailConclusion) {
    response?.close()
    timer.cancel()
    printer.conclude(
      conclusion.kind.rawValue, conclusion.text, events: machine.events, lastEventID: machine.lastEventID)
    loop.stop()
  }
}
