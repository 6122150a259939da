import Bytes
import HTTP
import Loop
import Sockets
import Time

/// The operators' listener. Small answers, one request per connection; never on the data path's loops.
final class AdminServer {
  typealias Respond = (AdminResponse) -> Void

  let loop: EventLoop
  /// May change while it runs.
  var token: String?
  /// Names by which it may be asked, beside addresses and `localhost`. May change while it runs.
  var hosts: [String]
  /// Answers a request, perhaps later.
  let handler: (AdminRequest, @escaping Respond) -> Void
  private var listener: Listener?
  private var connections: [ObjectIdentifier: AdminConnection] = [:]
  private var accepted = 0

  /// More than this many at once are refused: nobody's dashboard needs them.
  private static let limit = 64

  init(
    loop: EventLoop, token: String?, hosts: [String], handler: @escaping (AdminRequest, @escaping Respond) -> Void
  ) {
    self.loop = loop
    self.token = token
    self.hosts = hosts
    self.handler = handler
  }

  func listen(at address: SocketAddress) throws(SocketError) {
    listener = try Listener(loop: loop, address: address, sharing: .exclusive) { [unowned self] connection in
      makeRoom()
      accepted += 1
      let admin = AdminConnection(connection: connection, server: self, number: accepted)
      connections[ObjectIdentifier(admin)] = admin
      guard connections.count <= Self.limit else { return admin.refuse() }
      connection.startReading()
    }
  }

  /// Closes the oldest connection that has sent no request yet, when there are as many as may be: silent ones must not
  /// lock operators out.
  private func makeRoom() {
    guard connections.count >= Self.limit else { return }
    connections.values.filter { !$0.isAnswering }.min { $0.number < $1.number }?.close()
  }

  /// Whether a request may name the listener so. A page of any site can have its own name resolve to this address, and
  /// then read what is answered; it can't have an address or `localhost` for a name.
  fileprivate func isKnown(_ host: Span<UInt8>) -> Bool {
    guard let authority = Authority(parsing: host) else { return false }
    let name = String(decoding: [UInt8](copying: host.extracting(authority.host)), as: UTF8.self).lowercased()
    return authority.isIPv6Literal || SocketAddress(host: name, port: 0) != nil || name == "localhost"
      || name.hasSuffix(".localhost") || hosts.contains(name)
  }

  var localAddress: SocketAddress? { listener?.localAddress }

  /// Leaves the port to another process; answers that are under way are finished.
  func stopListening() {
    listener?.closeAfterBacklog()
    listener = nil
  }

  func close() {
    listener?.close()
    for connection in connections.values { connection.close() }
    connections.removeAll()
  }

  fileprivate func forget(_ connection: AdminConnection) {
    connections[ObjectIdentifier(connection)] = nil
  }

  /// Whether `credentials` (the value of `Authorization`) may come in. Compares in constant time.
  fileprivate func admits(_ credentials: [UInt8]?) -> Bool {
    guard let token else { return true }
    let wanted = Array("Bearer \(token)".utf8)
    guard let credentials, credentials.count == wanted.count else { return false }
    var difference: UInt8 = 0
    for index in wanted.indices { difference |= wanted[index] ^ credentials[index] }
    return difference == 0
  }
}

struct AdminRequest {
  let method: HTTP.Method
  let path: String
  let query: String
  /// Whether a web page sent it: browsers say so with every POST.
  let isFromWebPage: Bool
}

struct AdminResponse {
  var status = 200
  var contentType: StaticString = "application/json"
  var body: [UInt8] = []

  static func json(status: Int = 200, _ text: String) -> AdminResponse {
    AdminResponse(status: status, body: Array(text.utf8) + [0x0A])
  }
}

/// One connection of an operator.
private final class AdminConnection: ConnectionHandler, DeadlineMember {
  private let connection: TCPConnection
  private unowned let server: AdminServer
  private var parser = RequestHeadParser()
  private var deadline: DeadlineHandle?
  private(set) var isAnswering = false
  /// Its place in the order in which they came.
  let number: Int

  init(connection: TCPConnection, server: AdminServer, number: Int) {
    self.number = number
    self.connection = connection
    self.server = server
    connection.handler = self
    deadline = server.loop.deadlines.add(self, at: server.loop.now + .seconds(10))
  }

  func connectionReceived(_ input: InputBuffer) {
    guard !isAnswering else { return }
    do {
      guard case .complete(let head, _) = try parser.parse(input.bytes) else { return }
      answer(head)
    } catch {
      var out = ByteBuffer()
      ErrorResponse(error).writeLast(into: &out)
      send(out)
    }
  }

  /// There are too many, and all of them wait for answers.
  func refuse() {
    isAnswering = true
    var out = ByteBuffer()
    ErrorResponse(status: 503, code: "overloaded", message: "the admin listener has too many connections")
      .writeLast(into: &out)
    send(out)
  }

  private func answer(_ head: consuming RequestHead) {
    isAnswering = true
    if let host = head.host, !server.isKnown(host) {
      var out = ByteBuffer()
      ErrorResponse(
        status: 421, code: "misdirected_request",
        message: "the admin listener is asked by address, as localhost, or by a name in admin.hosts"
      ).writeLast(into: &out)
      return send(out)
    }
    let fields = head.fields
    let credentials = fields.firstIndex(of: .authorization).map { [UInt8](copying: fields.value(at: $0)) }
    guard server.admits(credentials) else {
      var fields = Fields()
      fields.append(.wwwAuthenticate, literal: "Bearer")
      var out = ByteBuffer()
      ErrorResponse(
        status: 401, code: "unauthorized", message: "the admin listener asks for its token", fields: fields
      ).writeLast(into: &out)
      return send(out)
    }
    let request = AdminRequest(
      method: head.method, path: head.target.pathString, query: head.target.queryString ?? "",
      isFromWebPage: head.fields.firstIndex(of: .origin) != nil)
    let isHead = head.method == .head
    server.handler(request) { [weak self] response in self?.write(response, isHead: isHead) }
  }

  private func write(_ response: AdminResponse, isHead: Bool) {
    var fields = Fields()
    fields.append(.contentType, literal: response.contentType)
    fields.append(.cacheControl, literal: "no-store")
    var out = ByteBuffer()
    HTTP1Head.write(
      ResponseDraft(status: response.status, fields: fields), framing: .length(response.body.count),
      isKeepAlive: false, into: &out)
    if !isHead { out.append(response.body) }
    send(out)
  }

  private func send(_ out: borrowing ByteBuffer) {
    out.withSpan { connection.write($0) }
    leave()
    LingeringClose.begin(connection, timeout: .seconds(2)) { _ in }
  }

  func connectionEnded(_ end: ConnectionEnd) {
    if case .finished = end, isAnswering { return }
    close()
  }

  func connectionDrained() {}

  func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    close()
    return nil
  }

  func close() {
    leave()
    connection.close()
  }

  private func leave() {
    if let handle = deadline.take() { server.loop.deadlines.remove(handle) }
    server.forget(self)
  }
}
