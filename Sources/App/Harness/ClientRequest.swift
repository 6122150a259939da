package import TLS
package import Time

/// What a stream client sends.
package struct ClientRequest: Sendable {
  package var method: String
  package var target: String
  package var fields: [Script.Field]
  package var body: [UInt8]
  /// Bytes to send instead, as they are. `method` still says whether the answer has a body.
  package var raw: [UInt8]?

  package init(_ method: String = "GET", _ target: String = "/", fields: [Script.Field] = [], body: [UInt8] = []) {
    self.method = method
    self.target = target
    self.fields = fields
    self.body = body
  }

  package static func raw(_ text: String, method: String = "GET") -> ClientRequest {
    var request = ClientRequest(method)
    request.raw = Array(text.utf8)
    return request
  }

  /// The request on the wire. `Host` and the length of a body are added where `fields` have none.
  package func bytes(host: String) -> [UInt8] {
    if let raw { return raw }
    var text = "\(method) \(target) HTTP/1.1\r\n"
    let names = fields.map { $0.name.lowercased() }
    if !names.contains("host") { text += "Host: \(host)\r\n" }
    if !body.isEmpty, !names.contains("content-length"), !names.contains("transfer-encoding") {
      text += "Content-Length: \(body.count)\r\n"
    }
    for field in fields { text += "\(field.name): \(field.value)\r\n" }
    return Array((text + "\r\n").utf8) + body
  }
}

/// What carries the requests of stream clients that say nothing else.
package struct ClientTransport: Sendable {
  package var tls: TLSContext?
  /// With TLS its context has to offer `h2`.
  package var speaksHTTP2: Bool

  package init(tls: TLSContext? = nil, speaksHTTP2: Bool = false) {
    self.tls = tls
    self.speaksHTTP2 = speaksHTTP2
  }

  /// For what a task does, and what it starts.
  @TaskLocal package static var standard = ClientTransport()
}

/// How a stream client behaves, beyond reading to the end.
package struct ClientBehaviour: Sendable {
  /// Closes at once when the body holds these bytes: a client that leaves at its completion event.
  package var hangUpAt: [UInt8]?
  /// Closes so long after the first byte of the answer.
  package var hangsUpAfter: Nanoseconds?
  /// Closes with a reset instead of a FIN when it hangs up.
  package var resets = false
  /// Closes its sending side right behind the request.
  package var halfCloses = false
  /// Reads at most one buffer, then waits so long before the next.
  package var readInterval: Nanoseconds?
  /// Stops reading for good after so many bytes of body.
  package var stopsReadingAfter: Int?
  /// Requests sent right behind the first on the same connection, before any answer.
  package var pipelined: [ClientRequest] = []
  /// Speaks TLS; the server must prove to be `localhost` if the context verifies.
  package var tls = ClientTransport.standard.tls
  /// Over HTTP/2: no raw bytes, nothing pipelined, and no half-close, which is said by the request there.
  package var speaksHTTP2 = ClientTransport.standard.speaksHTTP2
  /// Gives up after so long.
  package var timeout = Nanoseconds.seconds(60)

  package init() {}

  /// HTTP/1.1 without TLS, whatever others speak.
  package static var plain: Self {
    var behaviour = Self()
    behaviour.tls = nil
    behaviour.speaksHTTP2 = false
    return behaviour
  }

  package static func hangingUp(at text: String) -> Self {
    var behaviour = Self()
    behaviour.hangUpAt = Array(text.utf8)
    return behaviour
  }
}

/// What a stream client got.
package struct ClientResult: Sendable {
  package enum End: Sendable, Equatable {
    /// Its framing says that the response is complete.
    case clean
    /// FIN before the framing's end; over HTTP/2 a reset of the stream.
    case truncated
    /// The connection broke.
    case reset
    /// The client's own doing.
    case hungUp
    case timedOut
    /// No connection; says why.
    case unreachable(String)
    /// Broken framing or no head; says what.
    case malformed(String)
  }

  package internal(set) var head = WireHead(startLine: "")
  /// The whole responses before this one, when requests were pipelined.
  package internal(set) var earlier: [ClientResult] = []
  /// The statuses of interim (1xx) responses.
  package internal(set) var interim: [Int] = []
  package internal(set) var body: [UInt8] = []
  package internal(set) var end = End.clean
  /// Bytes of the response on the wire, head and framing included.
  package internal(set) var wireBytes = 0
  /// Why the stream was reset, over HTTP/2 (RFC 9113, 7).
  package internal(set) var resetCode: UInt32?
  /// Whether a TLS session from before was taken up.
  package internal(set) var isResumed = false
  package internal(set) var startedAt = MonotonicTime(nanoseconds: 0)
  /// When the final response's head was complete.
  package internal(set) var headAt: MonotonicTime?
  package internal(set) var firstByteAt: MonotonicTime?
  package internal(set) var endedAt = MonotonicTime(nanoseconds: 0)

  package init() {}

  package var status: Int { head.status }
  package var text: String { String(decoding: body, as: UTF8.self) }
  package var events: [ReceivedEvent] { ReceivedEvent.all(in: body) }
}
