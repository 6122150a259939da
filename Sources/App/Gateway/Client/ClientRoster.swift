import Bytes
import Configuration
import HTTP
import HTTP2
import Loop
import Runs
import Sockets
import Streams
import TLS
import Telemetry
import Time

/// The clients of one loop, from their connection to its close.
///
/// Confined to its loop's thread.
package final class ClientRoster {
  typealias MakeExchange = (consuming RequestHead, any ClientStream) -> any ClientExchange
  typealias MakeClient = (any Connection, ListenerSettings, ClientSpeech, ClientRoster) -> (any Client)?

  package let context: LoopContext
  let room: ClientRoom
  /// Connections for which there was no room, while they take their answer. They count among no clients, and the oldest
  /// leaves for the next.
  private let refused: ClientRoom
  let books: StreamBooks
  /// What is in force now.
  var settings: Settings
  private var clients: [any Client] = []
  /// Of streams that are to end soon.
  private var endTimers: [Timer] = []
  /// Makes what serves a request.
  private let makeExchange: MakeExchange
  private let makeClient: MakeClient
  private(set) lazy var handshakes = makeHandshakes()
  private let tickets: TicketKeys
  private let proxyHeaders: ProxyHeaders
  /// Called after a connection has left, while the loop drains.
  private let somebodyLeft: () -> Void

  init(
    _ settings: Settings, limits: ConnectionLimits, books: StreamBooks, context: LoopContext, tickets: TicketKeys,
    makeExchange: @escaping MakeExchange, makeClient: @escaping MakeClient,
    somebodyLeft: @escaping () -> Void
  ) {
    self.settings = settings
    self.books = books
    self.context = context
    self.makeExchange = makeExchange
    self.makeClient = makeClient
    self.somebodyLeft = somebodyLeft
    self.tickets = tickets
    room = ClientRoom(limit: limits.clients)
    refused = ClientRoom(limit: limits.refused)
    proxyHeaders = ProxyHeaders(context: context)
  }

  private func makeHandshakes() -> ClientHandshakes {
    ClientHandshakes(context: context, tickets: tickets) { [unowned self] connection in
      context.refused(.badRequest, 400, "plain_http", from: logged(connection))
    } linger: { [context, room, somebodyLeft] connection in
      // A drain waits for those that linger.
      room.linger(connection, timeout: Self.plainLinger, resets: false) { _ in
        if context.isDraining { somebodyLeft() }
      }
    }
  }

  /// How long a client has to take what it is told that speaks plain HTTP on a port for TLS, or for which there is no
  /// room.
  private static let plainLinger = Nanoseconds.seconds(2)

  var limits: LimitSettings { settings.configuration.limits }
  var lingerTime: Nanoseconds { settings.linger }
  /// Whether there is no connection left. One that lingers has its last bytes, or the reset that shows a cut, still to
  /// come.
  var isEmpty: Bool { connections == 0 }
  /// Connections that do not linger.
  package var openConnections: Int { clients.count }
  /// Of these, those that carry a WebSocket.
  var openTunnels = 0
  /// Connections, also those that linger.
  var connections: Int { clients.count + room.lingeringCount + beginning }
  /// Connections with those that were refused and take their answer.
  package var descriptors: Int { connections + refused.lingeringCount }
  /// Connections of which no request can be read yet.
  private var beginning: Int { handshakes.count + proxyHeaders.count }

  /// - Parameter index: the place of the listener that has accepted it.
  func accept(_ connection: TCPConnection, at index: Int) {
    let listener = settings.listeners[index]
    guard let version = listener.proxyProtocol.version else {
      if admits(connection, isPlain: listener.tls == nil) { welcome(connection, at: listener) }
      return
    }
    guard isTrusted(connection.peerAddress) else {
      proxyHeaders.refuse(connection, as: logged(connection))
      return
    }
    guard admits(connection, isPlain: false) else { return }
    proxyHeaders.begin(connection, version, timeout: limits.headTimeout, logged: logged(connection)) {
      [unowned self] passed in
      if let passed { welcome(passed, at: listener) } else { connectionLeft() }
    }
  }

  private func welcome(_ connection: TCPConnection, at listener: ListenerSettings) {
    guard let tls = listener.tls else {
      begin(connection, listener)
      // The request is here by now in most cases; to be told so would take another turn.
      connection.readNow()
      return
    }
    handshakes.begin(connection, as: tls, timeout: limits.headTimeout) { [unowned self] secured in
      guard let secured else { return connectionLeft() }
      begin(secured, listener, secured.applicationProtocol == "h2" ? .http2 : .http11)
    }
  }

  /// Reads requests from a client's connection without TLS, as if it had come to `listener`.
  func serve(_ connection: any Connection, at listener: ListenerSettings) {
    if admits(connection, isPlain: true) { begin(connection, listener) }
  }

  private func begin(_ connection: any Connection, _ listener: ListenerSettings) {
    begin(connection, listener, listener.http2 == .cleartext ? .either : .http11)
  }

  /// Whether there is room for the connection. Without it, it is closed.
  ///
  /// - Parameter isPlain: whether the client can be told so. Before its handshake it can't.
  private func admits(_ connection: any Connection, isPlain: Bool) -> Bool {
    if admits() { return true }
    if isPlain {
      refuseQuickly(connection)
    } else {
      _ = context.refused(.overload, 503, "overload", from: logged(connection))
      connection.close()
    }
    return false
  }

  /// Counts a new connection. Returns whether there is room for it.
  private func admits() -> Bool {
    context.shard.increment(context.metrics.connections)
    return room.admitsClient(beside: clients.count + beginning)
  }

  private func begin(_ connection: any Connection, _ listener: ListenerSettings, _ speech: ClientSpeech) {
    guard let client = makeClient(connection, listener, speech, self) else {
      connection.close()
      return connectionLeft()
    }
    client.rosterIndex = clients.count
    clients.append(client)
    client.start()
  }

  /// Gives the place of a client that has said what it speaks to what speaks it.
  func replace(_ client: any Client, by other: any Client) {
    let index = client.rosterIndex
    guard index >= 0, index < clients.count, clients[index] === client else { return }
    client.rosterIndex = -1
    other.rosterIndex = index
    clients[index] = other
    other.start()
  }

  /// What the HTTP/2 sessions of this loop have in common, by the limits that are in force.
  func sessionContext() throws(HTTP2SessionError) -> HTTP2Context {
    if let lastContext, lastContext.settings.head == limits.head { return lastContext }
    let made = try HTTP2Context(settings: HTTP2Settings(head: limits.head))
    lastContext = made
    return made
  }

  private var lastContext: HTTP2Context?

  private func refuseQuickly(_ connection: any Connection) {
    var answer = ByteBuffer()
    var fields = context.refused(.overload, 503, "overload", from: logged(connection))
    fields.append(.retryAfter, decimal: 1)
    ErrorResponse(status: 503, code: "overload", message: "too many connections", fields: fields)
      .writeLast(into: &answer)
    connection.write(answer.span)
    // Its request is here, or on its way: a close that leaves it unread is a reset, and the answer may be lost.
    guard refused.admitsClient(beside: 0) else { return connection.close() }
    refused.linger(connection, timeout: Self.plainLinger, resets: false) { _ in }
  }

  private func logged(_ connection: any Connection) -> String {
    settings.configuration.log.clientAddress.text(of: connection.peerAddress.host)
  }

  /// What serves a request of `client`; `begin()` is to be called next.
  func exchange(
    for request: consuming RequestHead, of client: any ClientStream, isRedirected: Bool
  ) -> any ClientExchange {
    let request = request.proved(by: client.forwarded.tls?.certificate)
    guard isRedirected else { return makeExchange(request, client) }
    let logged = settings.configuration.log.clientAddress.text(for: client.forwarded, request.fields)
    return RedirectExchange(
      request, client: client, logged: logged, redactions: settings.redactions, context: context)
  }

  /// The connection is closed, or lingers.
  func clientLeft(_ client: any Client) {
    let index = client.rosterIndex
    guard index >= 0, index < clients.count, clients[index] === client else { return }
    clients.swapAt(index, clients.count - 1)
    clients[index].rosterIndex = index
    clients.removeLast()
    client.rosterIndex = -1
    connectionLeft()
  }

  /// A connection was closed with care.
  func lingerEnded() { connectionLeft() }

  private func connectionLeft() {
    if context.isDraining { somebodyLeft() }
  }

  /// Whether a request needs that connection to Redis.
  func waits(for store: any RunStore) -> Bool {
    var waits = false
    forEachExchange { exchange, _ in if exchange.store === store { waits = true } }
    return waits
  }

  /// Bytes that wait for clients.
  package var queuedBytes: Int {
    var sum = 0
    forEachExchange { _, client in sum += client.queuedBytes }
    forEachTunnel { sum += $0.queuedBytes }
    return sum
  }

  /// Calls `body` with each request that is being served, and its way back to the client.
  package func forEachExchange(_ body: (any ClientExchange, any ClientStream) -> Void) {
    for client in clients { client.forEachExchange(body) }
  }

  private func forEachTunnel(_ body: (Tunnel) -> Void) {
    guard openTunnels > 0 else { return }
    for case let tunnel as Tunnel in clients { body(tunnel) }
  }

  /// Closes the connections of clients that were served and wait for nothing.
  func retire() {
    for client in clients { client.retire() }
  }

  /// Ends the event streams that are open towards clients, and refuses the requests that have no answer yet, each after
  /// a delay of its own, so that clients don't all come back at once.
  ///
  /// - Parameter sparesRuns: the streams that read runs go on.
  func endStreams(jitter: Nanoseconds, sparesRuns: Bool, _ outcome: Outcome, reason: String) {
    forEachTunnel { tunnel in later(within: jitter) { [weak tunnel] in tunnel?.goAway(.drain) } }
    forEachExchange { exchange, _ in
      guard exchange.stream != nil || exchange.isWaiting, !sparesRuns || !exchange.record.run.isRead else { return }
      later(within: jitter) { [weak exchange] in
        if exchange?.stream != nil { exchange?.finishStream(outcome, reason: reason) } else { exchange?.drainIsOver() }
      }
    }
  }

  private func later(within jitter: Nanoseconds, _ body: @escaping () -> Void) {
    let timer = Timer(loop: context.loop, handler: body)
    timer.schedule(after: Nanoseconds(Int64.random(in: 0...max(1, jitter.value))))
    endTimers.append(timer)
  }

  /// Breaks all connections.
  func stop() {
    handshakes.cancelAll()
    proxyHeaders.cancelAll()
    for client in clients { client.abandon() }
    room.endLingering()
    refused.endLingering()
  }

  // MARK: - What backends are told

  /// What is known of a client. Many connections in a row come from the same address, a load balancer's for instance.
  func forwardedClient(of connection: any Connection, at listener: ListenerSettings) -> ForwardedClient {
    let peer = connection.peerAddress
    guard let secure = connection as? TLSConnection else { return forwardedClient(for: peer) }
    let tls = ClientTLS(secure, withChain: listener.tls?.server.wantsChain == true)
    return ForwardedClient(
      address: peer.host, isSecure: true, isTrusted: isTrusted(peer), logged: logged(connection), tls: tls)
  }

  private func forwardedClient(for peer: SocketAddress) -> ForwardedClient {
    var host = peer
    host.port = 0
    if let lastForwarded, host == lastForwardedHost, lastForwardedSettings === settings { return lastForwarded }
    let client = ForwardedClient(
      address: peer.host, isSecure: false, isTrusted: isTrusted(peer),
      logged: settings.configuration.log.clientAddress.text(of: peer.host))
    (lastForwarded, lastForwardedHost, lastForwardedSettings) = (client, host, settings)
    return client
  }

  /// Whether what the peer says about the client before it is believed. Whoever may use a socket in the file system is.
  private func isTrusted(_ peer: SocketAddress) -> Bool {
    peer.isUnix || settings.configuration.trustedProxies.contains { $0.contains(peer) }
  }

  private var lastForwarded: ForwardedClient?
  private var lastForwardedHost: SocketAddress?
  private var lastForwardedSettings: Settings?
}
