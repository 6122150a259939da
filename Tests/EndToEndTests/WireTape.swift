import Harness
import Loop
import RunningGateway

/// One scene between a client, the gateway and a backend, played on plain sockets, and every byte that was seen in it.
///
/// What differs from run to run (stream ids, times, ports) is replaced by its name, so that two recordings of the same
/// scene are equal exactly when the gateway's bytes are.
final class WireTape {
  enum Step {
    /// The client opens a connection.
    case connects
    case clientSends(String)
    /// What the client reads until `text` has come.
    case clientGets(until: String)
    /// What the client reads until the connection ends.
    case clientGetsTheRest
    case clientFinishes
    case clientCloses
    /// The backend takes a connection.
    case accepts
    /// What the backend reads until `text` has come.
    case backendGets(until: String)
    case backendSends(String)
    case backendCloses
    case backendResets
  }

  private let gateway: SocketAddress
  private let listener: RawListener
  private var client: RawConnection?
  private var backend: RawConnection?
  /// The stream ids so far, in the order in which they were seen.
  private var ids: [String] = []
  private(set) var text = ""

  init(gateway: SocketAddress, listener: RawListener) {
    self.gateway = gateway
    self.listener = listener
  }

  func play(_ steps: [Step]) throws {
    for step in steps { try play(step) }
    client?.close()
    backend?.close()
  }

  private func play(_ step: Step) throws {
    switch step {
    case .connects:
      client?.close()
      client = try RawConnection(to: gateway)
    case .clientSends(let text):
      let text = fill(text)
      note("client > gateway", text)
      client?.send(text)
    case .clientGets(let end):
      let isThere = client?.receives(end) ?? false
      note("client < gateway", client?.takeUnread())
      if !isThere { throw SupportError("the client never got \(end.debugDescription):\n\(text)") }
    case .clientGetsTheRest:
      note("client < gateway", client?.rest())
      note("client", client?.end == .reset ? "reset" : client?.end == .finished ? "finished" : "silent")
    case .clientFinishes: client?.finishWriting()
    case .clientCloses: client?.close()
    case .accepts:
      backend?.close()
      backend = listener.accept()
      if backend == nil { throw SupportError("the backend was not asked:\n\(text)") }
    case .backendGets(let end):
      let isThere = backend?.receives(end) ?? false
      note("backend < gateway", backend?.takeUnread())
      if !isThere { throw SupportError("the backend never got \(end.debugDescription):\n\(text)") }
    case .backendSends(let text):
      note("backend > gateway", text)
      backend?.send(text)
    case .backendCloses:
      backend?.finishWriting()
    case .backendResets: backend?.reset()
    }
  }

  /// `STREAM` in what a client sends is the id of the first stream of the scene.
  private func fill(_ text: String) -> String {
    guard let id = ids.first else { return text }
    return text.split(separator: "STREAM", omittingEmptySubsequences: false).joined(separator: id)
  }

  private func note(_ who: String, _ bytes: [UInt8]?) {
    note(who, String(decoding: bytes ?? [], as: UTF8.self))
  }

  private func note(_ who: String, _ bytes: String) {
    text += who + "\n"
    var rest = Self.escape(normalized(bytes))[...]
    while !rest.isEmpty {
      let end = rest.firstRange(of: "\\n")?.upperBound ?? rest.endIndex
      text += "  " + rest[..<end] + "\n"
      rest = rest[end...]
    }
  }

  // MARK: - What differs from run to run

  private func normalized(_ bytes: String) -> String {
    for match in bytes.matches(of: /(?i:x-stream-id): ([A-Za-z0-9_-]{22})\r\n/) where !ids.contains(String(match.1)) {
      ids.append(String(match.1))
    }
    var text = bytes
    text.replace(/(?i:x-request-id): [A-Za-z0-9_-]{22}\r\n/) { match in
      "\(match.output.prefix("x-request-id".utf8.count)): <request>\r\n"
    }
    text.replace(/traceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-00\r\n/, with: "traceparent: <trace>\r\n")
    for (index, id) in ids.enumerated() { text.replace(id, with: "<stream \(index + 1)>") }
    text.replace(/"requestId":"[^"]*"/, with: "\"requestId\":\"<request>\"")
    text.replace(/"\d{4}-\d\d-\d\dT[0-9:.]+Z"/, with: "\"<time>\"")
    text.replace(/"sinceStartMs":\d+/, with: "\"sinceStartMs\":<milliseconds>")
    text.replace(/\bfermata-[0-9a-f]{16}/, with: "<gateway>")
    // A document counts the digits of its times too; the recorded one has times of one digit.
    let digits = text.matches(of: /"milliseconds":\d(\d*)/).reduce(0) { $0 + $1.1.count }
    text.replace(/"milliseconds":\d+/, with: "\"milliseconds\":<milliseconds>")
    let lengths = text.matches(of: /Content-Length: (\d+)\r\n/)
    if digits > 0, lengths.count == 1, let length = Int(lengths[0].1) {
      text.replaceSubrange(lengths[0].range, with: "Content-Length: \(length - digits)\r\n")
    }
    text.replace(/127\.0\.0\.1:\d+/, with: "<address>")
    return text
  }

  private static func escape(_ text: String) -> String {
    text.unicodeScalars.reduce(into: "") { text, scalar in
      switch scalar {
      case "\r": text += "\\r"
      case "\n": text += "\\n"
      case "\\": text += "\\\\"
      case _ where scalar.value < 32 || scalar.value > 126: text += "\\u{\(String(scalar.value, radix: 16))}"
      default: text.unicodeScalars.append(scalar)
      }
    }
  }
}
