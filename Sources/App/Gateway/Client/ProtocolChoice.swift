import Bytes
import Configuration
import HTTP
import Loop
import Sockets
import Time

/// A client on a port that takes HTTP/1.1 and HTTP/2 without TLS, until its first bytes say which of them it speaks: the
/// preface of HTTP/2 begins as no request of HTTP/1.1 may (RFC 9113, 3.4).
final class ProtocolChoice: Client {
  private static let sign = Array("PRI ".utf8)

  private let connection: any Connection
  private let roster: ClientRoster
  var rosterIndex = -1
  private var idlePlace: ClientRoom.IdlePlace?
  private var deadline: DeadlineHandle?
  /// Less than the sign.
  private var begun = ByteBuffer()

  /// Makes what serves the client, by whether it speaks HTTP/2.
  private let makeClient: (Bool) -> (any Client)?

  init(connection: any Connection, roster: ClientRoster, makeClient: @escaping (Bool) -> (any Client)?) {
    self.connection = connection
    self.makeClient = makeClient
    self.roster = roster
  }

  private var loop: EventLoop { roster.context.loop }

  func start() {
    connection.handler = self
    idlePlace = roster.room.becameIdle(self)
    deadline = loop.deadlines.add(self, at: loop.now + roster.limits.headTimeout)
    connection.startReading()
  }

  func forEachExchange(_ body: (any ClientExchange, any ClientStream) -> Void) {}
  // One that has just connected is still answered.
  func retire() {}

  func abandon() {
    connection.reset()
    leave()
  }

  func close() {
    connection.close()
    leave()
  }

  private func leave() {
    stop()
    roster.clientLeft(self)
  }

  private func stop() {
    if let place = idlePlace.take() { roster.room.isIdleNoMore(place) }
    if let handle = deadline.take() { loop.deadlines.remove(handle) }
  }
}

extension ProtocolChoice: ConnectionHandler {
  func connectionReceived(_ input: InputBuffer) {
    guard !begun.isEmpty else {
      if let isHTTP2 = Self.isHTTP2(input.bytes) { return choose(isHTTP2, input) }
      return begun.append(input.bytes)
    }
    begun.append(input.bytes)
    guard let isHTTP2 = Self.isHTTP2(begun.span) else { return }
    // With what came before, a read may be larger than the buffer.
    let whole = begun.toArray()
    input.fill(whole.span)
    choose(isHTTP2, input)
    guard whole.count > InputBuffer.capacity else { return }
    input.fill(whole.span.extracting(droppingFirst: InputBuffer.capacity))
    connection.handler?.connectionReceived(input)
  }

  /// `nil`: more has to come.
  private static func isHTTP2(_ bytes: Span<UInt8>) -> Bool? {
    for index in 0..<min(sign.count, bytes.count) where bytes[index] != sign[index] { return false }
    return bytes.count < sign.count ? nil : true
  }

  private func choose(_ isHTTP2: Bool, _ input: InputBuffer) {
    stop()
    guard let client = makeClient(isHTTP2) else { return close() }
    roster.replace(self, by: client)
    connection.handler?.connectionReceived(input)
  }

  func connectionDrained() {}

  func connectionEnded(_ end: ConnectionEnd) { close() }
}

extension ProtocolChoice: DeadlineMember {
  func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    close()
    return nil
  }
}
