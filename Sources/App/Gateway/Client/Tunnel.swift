import Bytes
import Configuration
import HTTP
import Loop
import Sockets
import Streams
import Telemetry
import Time

/// A client's connection and a backend's that carry a WebSocket: bytes pass both ways as they are, and each side's end is
/// passed on. Lives on one loop.
final class Tunnel: Client {
  private let client: any Connection
  private let backend: any Connection
  private let end: TunnelEnd
  private let roster: ClientRoster
  private let context: LoopContext
  var rosterIndex = -1
  /// What the client sent before the backend had answered.
  private var early: [UInt8]
  private var boundary = WebSocketBoundary()
  /// Who said first that it sends no more.
  private var firstEnd: TunnelEnding?
  private var deadline: DeadlineHandle?
  private var lastActivity: MonotonicTime
  private var isOver = false
  private var (sent, received) = (0, 0)

  init(of client: any Connection, early: [UInt8], to end: TunnelEnd, roster: ClientRoster) {
    self.client = client
    self.early = early
    self.end = end
    self.roster = roster
    backend = end.backend
    context = roster.context
    lastActivity = context.loop.now
  }

  func start() {
    roster.openTunnels += 1
    client.handler = TunnelSide(of: self, isClient: true)
    backend.handler = TunnelSide(of: self, isClient: false)
    client.lowWaterMark = end.settings.lowWater
    backend.lowWaterMark = end.settings.lowWater
    deadline = context.loop.deadlines.add(self, at: context.loop.now + longestSilence)
    let (sooner, first) = (early, end.first)
    (early, end.first) = ([], [])
    pass(sooner.span, isClient: true)
    pass(first.span, isClient: false)
    guard !isOver else { return }
    if client.hasPeerFinished { sideEnded(.finished, isClient: true) }
    client.startReading()
    backend.startReading()
  }

  func forEachExchange(_ body: (any ClientExchange, any ClientStream) -> Void) {}
  // It goes on until the drain's time is over.
  func retire() {}

  /// Bytes that wait for the client.
  var queuedBytes: Int { client.queuedBytes }

  /// Who closes a WebSocket closes both directions (RFC 6455, 7.1.1), so once one side has ended the other has little to
  /// say.
  private var longestSilence: Nanoseconds {
    firstEnd == nil ? end.limits.tunnelIdle : min(end.limits.tunnelIdle, roster.lingerTime)
  }

  private func peer(ofClient isClient: Bool) -> any Connection { isClient ? backend : client }

  // MARK: - What comes

  fileprivate func pass(_ bytes: Span<UInt8>, isClient: Bool) {
    guard !bytes.isEmpty, !isOver else { return }
    lastActivity = context.loop.now
    if isClient {
      received += bytes.count
    } else {
      sent += bytes.count
      boundary.take(bytes)
    }
    let peer = peer(ofClient: isClient)
    peer.write(bytes)
    guard peer.queuedBytes > end.settings.highWater else { return }
    (isClient ? client : backend).pauseReading()
  }

  fileprivate func sideDrained(isClient: Bool) {
    guard !isOver else { return }
    lastActivity = context.loop.now
    let peer = peer(ofClient: isClient)
    if !peer.hasPeerFinished { peer.startReading() }
    closeWhenDone()
  }

  fileprivate func sideEnded(_ ended: ConnectionEnd, isClient: Bool) {
    guard !isOver else { return }
    guard ended == .finished else { return leave(.failed) }
    if firstEnd == nil { firstEnd = isClient ? .client : .backend }
    lastActivity = context.loop.now
    if let deadline { context.loop.deadlines.move(deadline, to: lastActivity + longestSilence) }
    peer(ofClient: isClient).finishWriting()
    closeWhenDone()
  }

  private func closeWhenDone() {
    guard client.hasPeerFinished, backend.hasPeerFinished, client.queuedBytes == 0, backend.queuedBytes == 0 else {
      return
    }
    leave(firstEnd ?? .client)
  }

  // MARK: - Its end

  /// Ends it for a reason of the gateway's: with a close frame, if it may stand here (RFC 6455, 7.4.1).
  func goAway(_ ending: TunnelEnding) {
    guard !isOver else { return }
    let frame = WebSocketBoundary.goingAway
    if boundary.isBetweenFrames, firstEnd != .backend { client.write(frame.span) }
    leave(ending)
  }

  func abandon() { leave(.failed) }
  func close() { leave(.failed) }

  private func leave(_ ending: TunnelEnding) {
    guard !isOver else { return }
    isOver = true
    roster.openTunnels -= 1
    context.shard.increment(context.metrics.tunnelEnds[ending])
    if let deadline = deadline.take() { context.loop.deadlines.remove(deadline) }
    tell(ending)
    if ending == .failed {
      client.reset()
    } else {
      let roster = roster
      roster.room.linger(client, timeout: roster.lingerTime, resets: false) { _ in roster.lingerEnded() }
    }
    end.close(ending)
    roster.clientLeft(self)
  }

  private func tell(_ ending: TunnelEnding) {
    let record = end.record
    record.ends(by: ending.closer, reason: "tunnel: \(ending.rawValue)", limit: nil)
    (record.bytesIn, record.bytesOut) = (received, sent)
    record.write(to: context.log, at: context.loop.readClock(), context.loop.wallTime())
  }
}

extension Tunnel: DeadlineMember {
  func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    let due = lastActivity + longestSilence
    if now < due { return due }
    if let firstEnd { leave(firstEnd) } else { goAway(.idle) }
    return nil
  }
}

/// One of a tunnel's connections, as it tells what happens on it.
private final class TunnelSide: ConnectionHandler {
  private let tunnel: Tunnel
  private let isClient: Bool

  init(of tunnel: Tunnel, isClient: Bool) {
    self.tunnel = tunnel
    self.isClient = isClient
  }

  func connectionReceived(_ input: InputBuffer) { tunnel.pass(input.bytes, isClient: isClient) }
  func connectionDrained() { tunnel.sideDrained(isClient: isClient) }
  func connectionEnded(_ end: ConnectionEnd) { tunnel.sideEnded(end, isClient: isClient) }
}
