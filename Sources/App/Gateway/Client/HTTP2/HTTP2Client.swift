import Bytes
import Configuration
import HTTP
import HTTP2
import Logging
import Loop
import Sockets
import Streams
import Telemetry
import Time

/// A client's HTTP/2 connection: the session, its streams, and what is written in one turn of the loop.
///
/// The session is called outside its own callbacks only: what streams ask for is noted, and written at the end of the
/// turn, so that several streams' events leave in one record and one call.
final class HTTP2Client: Client {
  let connection: any Connection
  let roster: ClientRoster
  let context: LoopContext
  let forwarded: ForwardedClient
  /// What `Strict-Transport-Security` says in every answer.
  let transportSecurity: String?
  /// Whether all that it gets is where to go on over https.
  private let isRedirected: Bool
  /// Our place in the roster.
  var rosterIndex = -1
  /// Our place among those that are closed first when connections run short.
  private var idlePlace: ClientRoom.IdlePlace?

  let session: HTTP2Session
  /// Those whose exchange goes on, or whose answer has not arrived yet.
  var streams: [HTTP2StreamID: HTTP2Stream] = [:]
  /// Streams of which something is not written yet.
  private var unwritten: [HTTP2Stream] = []
  /// What a write of the session has made so far.
  private var frames = ByteBuffer()
  private var flushIsDue = false
  /// Bytes of all streams' answers that are not framed.
  private var heldBytes = 0
  private(set) var isFull = false
  /// Of the backends whose answers its streams are.
  let readAllowance = ReadAllowance()
  var deadline: DeadlineHandle?
  /// When the client came, or when its last stream was over.
  var idleSince: MonotonicTime
  let openedAt: MonotonicTime
  private(set) var requests = 0
  /// Whether the client has had an answer on this connection.
  var wasServed = false
  /// Since when the client has been told to go, with nothing open.
  var leavingSince: MonotonicTime?
  private(set) var isOver = false
  /// Whether the client is to go when its last stream is over.
  private var isRetiring = false

  /// Bytes that the connection may hold back before bodies wait in their streams.
  private static let writeMark = 32 << 10
  /// Bytes after which what is gathered is written.
  private static let pieceSize = 16 << 10
  /// Bytes of all streams from which on the connection is full: each that holds more than `fairShare` is slow then, and
  /// backends are read in pieces of `smallRead` bytes, so that what their first bytes bring is little too.
  private static let highWater = 512 << 10
  static let fairShare = 4 << 10
  private static let smallRead = 2 << 10

  /// - Parameter listener: where it came.
  /// - Throws: when there is no memory for a session.
  init(connection: any Connection, listener: ListenerSettings, roster: ClientRoster) throws(HTTP2SessionError) {
    session = try HTTP2Session(try roster.sessionContext())
    self.connection = connection
    self.roster = roster
    context = roster.context
    forwarded = roster.forwardedClient(of: connection, at: listener)
    transportSecurity = listener.tls?.strictTransportSecurity
    isRedirected = listener.redirect == .https
    idleSince = context.loop.now
    openedAt = context.loop.now
    connection.lowWaterMark = Self.writeMark / 2
    connection.handler = self
    deadline = context.loop.deadlines.add(self, at: context.loop.now + .seconds(1))
  }

  var limits: LimitSettings { roster.limits }

  func start() {
    context.shard.increment(context.metrics.http2Connections)
    becomeIdle()
    writeSoon()
    connection.startReading()
  }

  func forEachExchange(_ body: (any ClientExchange, any ClientStream) -> Void) {
    for stream in Array(streams.values) {
      if let exchange = stream.exchange { body(exchange, stream) }
    }
  }

  private func becomeIdle() {
    if idlePlace == nil { idlePlace = roster.room.becameIdle(self) }
  }

  private func leaveIdle() {
    if let place = idlePlace.take() { roster.room.isIdleNoMore(place) }
  }

  // MARK: - Events

  private func takeEvents(_ input: InputBuffer?) {
    // A request's head and body leave for the backend in one call.
    context.loop.gather.during {
      while !isOver, let event = session.nextEvent() { take(event, input) }
    }
  }

  private func take(_ event: HTTP2Event, _ input: InputBuffer?) {
    switch event {
    case .opened(let id, let head, let isWhole): begin(id, head, isWhole: isWhole)
    case .refused(let id, let fault): refuse(id, fault)
    case .data(let id, let range):
      if let input { streams[id]?.bodyCame(input, range) }
    case .ended(let id): streams[id]?.bodyEnded()
    case .reset(let id, _): streams[id]?.wasReset()
    case .roomFor: break
    case .written(let id): streams[id]?.wasWritten()
    case .confirmed(let id): streams[id]?.wasConfirmed()
    case .pingAnswered: break
    case .retiring: isRetiring = true
    case .over(let code): sessionIsOver(code)
    }
  }

  private func begin(_ id: HTTP2StreamID, _ head: consuming RequestHead, isWhole: Bool) {
    let stream = open(id, method: head.method, isWhole: isWhole)
    context.shard.increment(context.metrics.requests)
    requests += 1
    let exchange = roster.exchange(for: head, of: stream, isRedirected: isRedirected)
    stream.exchange = exchange
    wakeUp()
    exchange.begin()
    if requests >= limits.requestsPerConnection { isRetiring = true }
  }

  private func open(_ id: HTTP2StreamID, method: HTTP.Method, isWhole: Bool) -> HTTP2Stream {
    let stream = HTTP2Stream(id, of: self, method: method, isWhole: isWhole)
    streams[id] = stream
    leavingSince = nil
    leaveIdle()
    return stream
  }

  private func refuse(_ id: HTTP2StreamID, _ fault: HTTP2Fault) {
    let fields = context.refused(.badRequest, fault.status, fault.code, from: forwarded.logged)
    open(id, method: .get, isWhole: true)
      .refuse(ErrorResponse(status: fault.status, code: fault.code, message: fault.description, fields: fields))
  }

  /// A stream's answer has arrived, or never will.
  func streamLeft(_ stream: HTTP2Stream) {
    guard streams[stream.id] === stream else { return }
    streams[stream.id] = nil
    guard streams.isEmpty, !isOver else { return }
    idleSince = context.loop.now
    becomeIdle()
    wakeUp()
    if context.isLeaving || isRetiring { takeLeave() }
  }

  // MARK: - Output

  /// A stream has something to write.
  func writeSoon(_ stream: HTTP2Stream) {
    if !stream.isUnwritten {
      stream.isUnwritten = true
      unwritten.append(stream)
    }
    session.resume(stream.id)
    writeSoon()
  }

  /// Writes what is due at the end of the turn.
  func writeSoon() {
    guard !flushIsDue, !isOver else { return }
    flushIsDue = true
    context.loop.callAfterThisCallback(self)
  }

  /// Its streams hold so many bytes more, or less.
  func holds(_ difference: Int) {
    heldBytes += difference
    let isNowFull = heldBytes > (isFull ? Self.highWater / 2 : Self.highWater)
    guard isNowFull != isFull else { return }
    isFull = isNowFull
    readAllowance.bytes = isFull ? Self.smallRead : InputBuffer.capacity
    // Streams that waited for the others are told.
    if !isFull { writeSoon() }
  }

  private func flush() {
    flushIsDue = false
    guard !isOver else { return }
    do throws(HTTP2SessionError) {
      try session.write(to: self, at: context.loop.now)
    } catch { return sessionFailed() }
    sendFrames()
    takeEvents(nil)
    guard !isOver else { return }
    tellOfRoom()
    if session.wantsWrite, takesBody { writeSoon() }
  }

  private func sendFrames() {
    guard !frames.isEmpty else { return }
    connection.write(frames.span)
    frames.removeAll()
    if frames.allocated > 2 * Self.pieceSize { frames.release() }
  }

  /// Tells the exchanges whose answers have been framed, or enough of them.
  private func tellOfRoom() {
    let waiting = unwritten
    unwritten = []
    for stream in waiting where streams[stream.id] === stream {
      let hasRoom = stream.turnEnded()
      stream.isUnwritten = stream.isHeldUp
      if stream.isUnwritten { unwritten.append(stream) }
      if hasRoom { stream.exchange?.clientDrained() }
    }
  }

  // MARK: - The end

  /// Has the client go once its last stream is over.
  func takeLeave() {
    session.announceShutdown()
    if streams.isEmpty, leavingSince == nil { leavingSince = context.loop.now }
    writeSoon()
    wakeUp()
  }

  func retire() {
    if streams.isEmpty, wasServed { takeLeave() }
  }

  func close() {
    guard !isOver else { return }
    session.terminate(.noError)
    finish { connection in connection.close() }
  }

  func abandon() {
    finish { connection in connection.reset() }
  }

  /// The session can't be written any more.
  private func sessionFailed() {
    context.shard.increment(context.metrics.http2Faults)
    finish { connection in connection.close() }
  }

  private func sessionIsOver(_ code: HTTP2ErrorCode) {
    if code != .noError { noteFault(code) }
    sendFrames()
    guard leave() else { return }
    roster.room.linger(connection, timeout: roster.lingerTime, resets: false) { [roster] _ in roster.lingerEnded() }
    tellStreams(.acked)
    roster.clientLeft(self)
  }

  private func noteFault(_ code: HTTP2ErrorCode) {
    context.shard.increment(context.metrics.http2Faults)
    context.log.write(.info, .http2Ended, at: context.loop.wallTime()) { line in
      line.field("reason", code.description)
      line.field("budget", session.budget)
    }
  }

  private func finish(_ end: (any Connection) -> Void) {
    guard leave() else { return }
    if (try? session.write(to: self, at: context.loop.now)) != nil { sendFrames() }
    // What is acknowledged when the client ends its side has been read by it.
    let isWhole = !connection.hasFailed && connection.sendProgress.isComplete
    let result: CloseResult = !isWhole ? .reset : connection.hasPeerFinished ? .confirmed : .acked
    end(connection)
    tellStreams(result)
    roster.clientLeft(self)
  }

  private func leave() -> Bool {
    guard !isOver else { return false }
    isOver = true
    leaveIdle()
    if let handle = deadline.take() { context.loop.deadlines.remove(handle) }
    return true
  }

  private func tellStreams(_ result: CloseResult) {
    let open = Array(streams.values)
    streams = [:]
    unwritten = []
    for stream in open { stream.connectionEnded(result) }
    // They hold us, and the session them.
    session.dropBodies()
  }

  /// Looks at the clocks at the next tick.
  func wakeUp() {
    if let deadline { context.loop.deadlines.move(deadline, to: context.loop.now) }
  }
}

extension HTTP2Client: ConnectionHandler {
  func connectionReceived(_ input: InputBuffer) {
    guard !isOver else { return }
    do throws(HTTP2SessionError) {
      try session.receive(input.bytes, at: context.loop.now)
    } catch { return sessionFailed() }
    takeEvents(input)
    if session.wantsWrite { writeSoon() }
    if session.sectionBeganAt != nil { wakeUp() }
  }

  func connectionDrained() { writeSoon() }

  /// A client that has ended its side can't even open windows any more.
  func connectionEnded(_ end: ConnectionEnd) {
    finish { connection in connection.close() }
  }
}

extension HTTP2Client: TurnMember {
  func turnCame() { flush() }
}

extension HTTP2Client: HTTP2Sink {
  var takesBody: Bool { connection.queuedBytes < Self.writeMark }

  func write(_ bytes: Span<UInt8>) {
    frames.append(bytes)
    if frames.count >= Self.pieceSize { sendFrames() }
  }
}
