internal import Bytes
internal import HTTP
internal import HTTP2
internal import Loop
internal import Sockets

/// A stream client's request over an HTTP/2 connection of its own.
final class HTTP2Exchange: HTTP2Sink {
  private let session: HTTP2ClientSession
  private let connection: any Connection
  private var id: HTTP2StreamID = 0
  private var frames = ByteBuffer()

  /// - Returns: `nil` when it is no request that can be made over HTTP/2.
  init?(_ request: ClientRequest, authority: String, scheme: String, over connection: any Connection) {
    guard let made = Self.make(request, authority: authority, scheme: scheme),
      let session = try? HTTP2ClientSession()
    else { return nil }
    self.session = session
    self.connection = connection
    guard let id = try? self.session.request(made) else { return nil }
    self.id = id
  }

  static func make(_ request: ClientRequest, authority: String, scheme: String) -> HTTP2Request? {
    guard let method = Method(request.method) else { return nil }
    var made = HTTP2Request(
      method: method, scheme: scheme, authority: authority, path: request.target, body: request.body)
    for field in request.fields {
      guard let name = FieldName(field.name), let value = FieldValue(field.value) else { return nil }
      if field.name.lowercased() == "host" { made.authority = field.value } else { made.fields.append(name, value) }
    }
    return made
  }

  static func head(_ status: Int, _ fields: borrowing Fields) -> WireHead {
    var head = WireHead(startLine: "HTTP/2 \(status)")
    for index in fields.indices {
      head.fields.append(
        Script.Field(String(copying: fields.name(at: index)), String(copying: fields.value(at: index))))
    }
    return head
  }

  /// - Returns: whether it was HTTP/2.
  func receive(_ input: InputBuffer) -> Bool {
    guard (try? session.receive(input.bytes)) != nil else { return false }
    flush()
    return true
  }

  func nextEvent() -> HTTP2ClientEvent? { session.nextEvent() }

  /// Leaves the stream.
  func cancel() {
    session.cancel(id)
    flush()
  }

  func flush() {
    guard (try? session.write(to: self)) != nil, !frames.isEmpty else { return }
    connection.write(frames.span)
    frames.removeAll()
  }

  var takesBody: Bool { true }

  func write(_ bytes: Span<UInt8>) { frames.append(bytes) }
}
