import Bytes
import Glibc
import HTTP
import JSON
import Loop
import Sockets
import TLS
import Time

/// Follows one stream over as many connections as it takes.
final class TailSession {
  private let options: TailOptions
  private let loop: EventLoop
  private let printer: TailPrinter
  private var machine: TailMachine
  private var attempt: DialAttempt?
  private var response: TailResponse?
  private lazy var pause = Timer(loop: loop) { [unowned self] in connect() }
  private var conclusion: TailConclusion?

  private static let connectTimeout = Nanoseconds.seconds(10)

  private init(_ options: TailOptions) throws(LoopError) {
    self.options = options
    loop = try EventLoop()
    printer = TailPrinter(isJSON: options.isJSON)
    machine = TailMachine(mayResume: options.resumes, mayRepeat: options.method == .get)
  }

  static func run(_ options: TailOptions) -> Int32 {
    do {
      let session = try TailSession(options)
      session.connect()
      session.loop.run()
      return session.conclusion?.exitStatus ?? ExitStatus.failure
    } catch {
      Terminal.error("fermata tail: \(error)")
      return ExitStatus.failure
    }
  }

  private func connect() {
    attempt = Dialer(loop: loop).connect(
      host: options.host, port: options.port, timeout: Self.connectTimeout
    ) { [unowned self] result in
      attempt = nil
      switch result {
      case .failure(let error): follow(machine.ended(.unreachable("\(error)")))
      case .success(let connection): secure(connection)
      }
    }
  }

  /// Shakes hands first where the URL says https.
  private func secure(_ connection: TCPConnection) {
    guard let context = options.tls else { return ask(on: connection) }
    TLSConnection.connect(
      over: connection, context: context, serverName: options.host, timeout: Self.connectTimeout
    ) { [unowned self] result in
      switch result {
      case .failure(let error): follow(machine.ended(.unreachable("\(error)")))
      case .success(let connection): ask(on: connection)
      }
    }
  }

  private func ask(on connection: any Connection) {
    var fields = options.fields
    var (method, target, body) = (options.method, options.target, options.body)
    if case .at(let path) = machine.resumption {
      (method, target, body) = (.get, path, [])
      fields.removeAll(.contentLength)
      fields.removeAll(.contentType)
    }
    if machine.isResuming, !machine.lastEventID.isEmpty, let id = FieldValue(machine.lastEventID) {
      fields.set(.lastEventID, id)
    }
    var request = ByteBuffer()
    request.append("\(method.name) \(target) HTTP/1.1\r\n")
    fields.write(into: &request)
    request.append("\r\n")
    request.append(body)
    let response = TailResponse(connection: connection, method: method, session: self)
    self.response = response
    request.withSpan { connection.write($0) }
    response.start()
  }

  // MARK: - What a response says

  func headCame(_ head: TailMachine.Head) {
    let wasResuming = machine.isResuming
    let decision = machine.headCame(head)
    if case .goOn = decision {
      let id = head.streamID.map { ", stream \($0)" } ?? ""
      printer.note(wasResuming ? "resumed" : "connected, \(head.mode ?? "no gateway's mode")\(id)")
    }
    follow(decision)
  }

  func eventCame(type: String, data: String, id: String?) {
    switch machine.eventCame(type: type, data: data, id: id) {
    case .counted: printer.event(type: type, data: data, id: id, isOwn: false)
    case .uncounted, .end: printer.event(type: type, data: data, id: id, isOwn: true)
    case .repeated: break
    }
  }

  func idCame(_ id: String) { machine.idCame(id) }
  func retryCame(_ time: Nanoseconds) { machine.retryCame(time) }

  func ended(_ ending: TailMachine.Ending) { follow(machine.ended(ending)) }

  private func follow(_ decision: TailMachine.Decision) {
    switch decision {
    case .goOn: return
    case .finish(let conclusion):
      self.conclusion = conclusion
      response?.close()
      printer.conclude(conclusion, events: machine.events, lastEventID: machine.lastEventID)
      loop.stop()
    case .resume(let time, let why):
      response?.close()
      let time = TailMachine.jittered(time, random: UInt64.random(in: .min ... .max))
      printer.note("\(why); asking again from \(machine.lastEventID) in \(Int(time.milliseconds)) ms")
      pause.schedule(after: time)
    }
  }
}

/// Writes events to standard output and remarks to standard error.
struct TailPrinter {
  let isJSON: Bool
  private let style = TerminalStyle.standardOutput

  init(isJSON: Bool) {
    self.isJSON = isJSON
  }

  func event(type: String, data: String, id: String?, isOwn: Bool) {
    if isJSON {
      var object = JSONObject()
      object["event"] = .string(type)
      object["id"] = id.map { .string($0) }
      object["data"] = .string(data)
      return Terminal.print(JSONValue.object(object).text())
    }
    let lines = data.split(separator: "\n", omittingEmptySubsequences: false)
    let name = type.printable.padded(to: 12)
    for (index, line) in lines.enumerated() {
      let front = index == 0 ? style.bold(name) : String(repeating: " ", count: name.count)
      Terminal.print(front + (isOwn ? style.dim(String(line).printable) : String(line).printable))
    }
  }

  func note(_ text: String) {
    if !isJSON { Terminal.error("fermata tail: " + text.printable) }
  }

  func conclude(_ conclusion: TailConclusion, events: Int, lastEventID: String) {
    guard isJSON else { return note(conclusion.text) }
    let object: JSONValue = [
      "conclusion": .string(conclusion.kind.rawValue), "text": .string(conclusion.text), "events": JSONValue(events),
      "lastEventId": .string(lastEventID),
    ]
    Terminal.print(object.text())
  }
}

extension String {
  /// Without characters that would command the terminal: a server's bytes are nobody's to trust.
  fileprivate var printable: String {
    String(
      String.UnicodeScalarView(
        unicodeScalars.map { $0.value < 0x20 && $0 != "\t" || (0x7F..<0xA0).contains($0.value) ? "\u{FFFD}" : $0 }))
  }
}
