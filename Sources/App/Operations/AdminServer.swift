import Bytes
import Configuration
import HTTP
import Loop
import Sockets
import Time

/// The operators' listener. Small answers, one request per connection; never on the data path's loops.
final class AdminServer {
  typealias Respond = (AdminResponse) -> Void

  let loop: EventLoop
  /// May change while it runs; `listen` counts at the start only.
  var settings: AdminSettings
  /// Answers a request, perhaps later.
  let handler: (AdminRequest, @escaping Respond) -> Void
  private var listener: Listener?
  private var connections: [ObjectIdentifier: AdminConnection] = [:]
  private var accepted = 0
  /// What was asked so far.
  fileprivate(set) var requests = AdminRequestCounts()

  /// More than this many at once are refused: nobody's dashboard needs them.
  private static let limit = 64

  init(
    loop: EventLoop, settings: AdminSettings, handler: @escaping (AdminRequest, @escaping Respond) -> Void
  ) {
    self.loop = loop
    self.settings = settings
    self.handler = handler
  }

  func listen(at address: SocketAddress) throws(SocketError) {
    listener = try Listener(loop: loop, address: address, sharing: .exclusive) { [unowned self] connection in
      makeRoom()
      accepted += 1
      let admin = AdminConnection(connection: connection, server: self, number: accepted)
      connections[ObjectIdentifier(admin)] = admin
      guard answering <= Self.limit else { return admin.refuse() }
      connection.startReading()
    }
  }

  /// Connections that do not follow the dashboard: those have a limit of their own.
  private var answering: Int { connections.values.reduce(0) { $0 + ($1.isStreaming ? 0 : 1) } }

  /// Closes the oldest connection that has sent no request yet, when there are as many as may be: silent ones must not
  /// lock operators out.
  private func makeRoom() {
    guard answering >= Self.limit else { return }
    connections.values.filter { !$0.isAnswering }.min { $0.number < $1.number }?.close()
  }

  /// Whether a request may name the listener so. A page of any site can have its own name resolve to this address, and
  /// then read what is answered; it can't have an address or `localhost` for a name.
  fileprivate func isKnown(_ host: Span<UInt8>) -> Bool {
    guard let authority = Authority(parsing: host) else { return false }
    let name = String(decoding: [UInt8](copying: host.extracting(authority.host)), as: UTF8.self).lowercased()
    return authority.isIPv6Literal || SocketAddress(host: name, port: 0) != nil || name == "localhost"
      || name.hasSuffix(".localhost") || settings.hosts.contains(name)
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

  /// What the bearer of `credentials` (the value of `Authorization`) may do; `nil`: nothing.
  fileprivate func role(of credentials: [UInt8]?) -> AdminRole? {
    guard let token = settings.token else { return .operate }
    if Self.isBearer(credentials, of: token) { return .operate }
    if let token = settings.readToken, Self.isBearer(credentials, of: token) { return .read }
    if let token = settings.scrapeToken, Self.isBearer(credentials, of: token) { return .scrape }
    return nil
  }

  /// Compares in constant time.
  private static func isBearer(_ credentials: [UInt8]?, of token: String) -> Bool {
    let wanted = Array("Bearer \(token)".utf8)
    guard let credentials, credentials.count == wanted.count else { return false }
    var difference: UInt8 = 0
    for index in wanted.indices { difference |= wanted[index] ^ credentials[index] }
    return difference == 0
  }
}

/// What somebody may do at the operators' listener, each with what those before it may.
enum AdminRole: Comparable {
  /// Metrics and health.
  case scrape
  /// All that is only looked at.
  case read
  case operate

  /// What a request needs.
  static func needed(for method: HTTP.Method, _ path: String) -> AdminRole {
    guard method == .get || method == .head else { return .operate }
    return ["/metrics", "/healthz", "/readyz"].contains(path) ? .scrape : .read
  }
}

struct AdminRequest {
  let method: HTTP.Method
  let path: String
  let query: String
  /// Whether a web page sent it: browsers say so with every POST.
  let isFromWebPage: Bool
  /// Whether no page of another site sent it.
  let isSameOrigin: Bool
  /// What its sender may do.
  let role: AdminRole
  /// Who sent it, in the sender's own words (`X-Operator`), at most 64 printable characters.
  let operatorName: String?
}

struct AdminResponse {
  var status = 200
  var contentType: StaticString = "application/json"
  var body: [UInt8] = []
  /// The content security policy of a page.
  var policy: String?
  /// Takes the connection over for an event stream; then there is no body.
  var opensStream: ((any AdminStream) -> Void)?

  static func json(status: Int = 200, _ text: String) -> AdminResponse {
    AdminResponse(status: status, body: Array(text.utf8) + [0x0A])
  }
}

/// An event stream towards an operator's page or terminal. Used on the main loop.
protocol AdminStream: AnyObject {
  /// Called once when the reader is gone.
  var whenGone: (() -> Void)? { get set }
  /// Bytes that wait for the reader.
  var queuedBytes: Int { get }
  /// Whether the reader's kernel has everything.
  var hasTakenAll: Bool { get }
  func send(_ out: borrowing ByteBuffer)
  /// Sends what is last, and closes.
  func end(_ out: borrowing ByteBuffer)
  /// Breaks the connection.
  func close()
}

/// One connection of an operator.
private final class AdminConnection: ConnectionHandler, DeadlineMember, AdminStream {
  private let connection: TCPConnection
  private unowned let server: AdminServer
  private var parser = RequestHeadParser()
  private var deadline: DeadlineHandle?
  private(set) var isAnswering = false
  private(set) var isStreaming = false
  var whenGone: (() -> Void)?
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
      refuse(ErrorResponse(error), on: nil)
    }
  }

  /// There are too many, and all of them wait for answers.
  func refuse() {
    isAnswering = true
    refuse(
      ErrorResponse(status: 503, code: "overloaded", message: "the admin listener has too many connections"), on: nil)
  }

  /// - Parameter path: of the request, if one was read.
  private func refuse(_ response: consuming ErrorResponse, on path: String?) {
    server.requests.answered(response.draft.status, on: path)
    var out = ByteBuffer()
    response.writeLast(into: &out)
    finish(out)
  }

  private func answer(_ head: consuming RequestHead) {
    isAnswering = true
    let path = head.target.pathString
    if let host = head.host, !server.isKnown(host) {
      return refuse(
        ErrorResponse(
          status: 421, code: "misdirected_request",
          message: "the admin listener is asked by address, as localhost, or by a name in admin.hosts"), on: path)
    }
    let received = head.fields
    let credentials = received.firstIndex(of: .authorization).map { [UInt8](copying: received.value(at: $0)) }
    // The page itself has nothing secret in it, and asks for the token.
    let role = server.role(of: credentials) ?? (path == "/dashboard" ? .read : nil)
    guard let role else {
      var fields = Fields()
      fields.append(.wwwAuthenticate, literal: "Bearer")
      return refuse(
        ErrorResponse(
          status: 401, code: "unauthorized", message: "the admin listener asks for its token", fields: fields),
        on: path)
    }
    guard role >= AdminRole.needed(for: head.method, path) else {
      return write(
        .json(status: 403, #"{"error":"this token does not allow it: admin.token does"}"#), to: path,
        isHead: head.method == .head)
    }
    let request = AdminRequest(
      method: head.method, path: path, query: head.target.queryString ?? "",
      isFromWebPage: head.fields.firstIndex(of: .origin) != nil, isSameOrigin: Self.isSameOrigin(head), role: role,
      operatorName: head.fields.string(named: "X-Operator").map { name in
        String(name.unicodeScalars.filter { (0x20...0x7E).contains($0.value) }.prefix(64).map(Character.init))
      })
    let isHead = head.method == .head
    server.handler(request) { [weak self] response in self?.write(response, to: path, isHead: isHead) }
  }

  /// What browsers say of where a request comes from (Fetch, 3.2; Fetch Metadata, 2.3); other programs say nothing.
  private static func isSameOrigin(_ head: borrowing RequestHead) -> Bool {
    let site = head.fields.string(named: "Sec-Fetch-Site")
    guard site == nil || site == "same-origin" else { return false }
    guard let origin = head.fields.string(named: "Origin") else { return true }
    guard let host = head.host else { return false }
    return origin == "http://" + String(decoding: [UInt8](copying: host), as: UTF8.self)
  }

  private func write(_ response: AdminResponse, to path: String, isHead: Bool) {
    guard !connection.isClosed else { return }
    server.requests.answered(response.status, on: path)
    var draft = ResponseDraft(status: response.status)
    draft.append("Content-Type", response.contentType)
    draft.append("Cache-Control", "no-store")
    draft.append("X-Content-Type-Options", "nosniff")
    draft.append("Referrer-Policy", "no-referrer")
    draft.append("Cross-Origin-Resource-Policy", "same-origin")
    if let policy = response.policy {
      draft.append("Content-Security-Policy") { $0.append(policy) }
      draft.append("Cross-Origin-Opener-Policy", "same-origin")
    }
    var out = ByteBuffer()
    if let open = response.opensStream, !isHead {
      draft.append("X-Stream-Mode", "graceful")
      HTTP1Head.write(draft, framing: .chunked, isKeepAlive: false, into: &out)
      isStreaming = true
      if let handle = deadline.take() { server.loop.deadlines.remove(handle) }
      out.withSpan { connection.write($0) }
      return open(self)
    }
    HTTP1Head.write(draft, framing: .length(response.body.count), isKeepAlive: false, into: &out)
    if !isHead { out.append(response.body) }
    finish(out)
  }

  private func finish(_ out: borrowing ByteBuffer) {
    out.withSpan { connection.write($0) }
    leave()
    LingeringClose.begin(connection, timeout: .seconds(2)) { _ in }
  }

  // MARK: AdminStream

  var queuedBytes: Int { connection.queuedBytes }
  var hasTakenAll: Bool { connection.sendProgress.isComplete }

  func send(_ out: borrowing ByteBuffer) {
    guard isStreaming, !connection.isClosed else { return }
    var framed = ByteBuffer()
    out.withSpan { ChunkedEncoder.append($0, to: &framed) }
    framed.withSpan { connection.write($0) }
  }

  func end(_ out: borrowing ByteBuffer) {
    guard isStreaming, !connection.isClosed else { return }
    var framed = ByteBuffer()
    out.withSpan { ChunkedEncoder.append($0, to: &framed) }
    ChunkedEncoder.appendLast(to: &framed)
    finish(framed)
  }

  func connectionEnded(_ end: ConnectionEnd) {
    if case .finished = end, isAnswering, !isStreaming { return }
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
    isStreaming = false
    whenGone.take()?()
    if let handle = deadline.take() { server.loop.deadlines.remove(handle) }
    server.forget(self)
  }
}
