import Bytes
import Glibc
import Loop
package import Time

/// Why a connection that was to begin with a PROXY header is over.
package enum ProxyHeaderError: Error, Equatable, Sendable, CustomStringConvertible {
  case header(ProxyHeaderFault)
  case timeout
  /// The peer has gone before its header was complete.
  case closed

  package var description: String {
    switch self {
    case .header(let fault): fault.description
    case .timeout: "not complete in time"
    case .closed: "closed before it was complete"
    }
  }
}

/// Takes the PROXY header off a connection that was accepted, and nothing that follows it. Lives by itself until it is
/// settled.
package final class ProxyHeaderReader {
  package typealias Completion = (Result<(connection: TCPConnection, source: ProxySource), ProxyHeaderError>) -> Void

  private let loop: EventLoop
  private let connection: TCPConnection
  private let descriptor: Int32
  private var ownsDescriptor: Bool
  private var parser: ProxyHeaderParser
  private var watch: SocketWatch?
  private var completion: Completion?
  private var outcome: Result<(connection: TCPConnection, source: ProxySource), ProxyHeaderError>?
  // The loop's deadline list keeps it alive.
  private var handle: DeadlineHandle?
  private let end: MonotonicTime

  /// Takes the socket of `connection` over, which is as good as closed then.
  ///
  /// - Parameters:
  ///   - timeout: for the whole header; late by up to 50 ms.
  ///   - completion: called once, from the loop, never before this returns, and not at all after `cancel()`. It gets a
  ///     connection whose peer is who the header names.
  @discardableResult
  package static func begin(
    _ connection: TCPConnection, version: ProxyHeaderParser.Version, timeout: Nanoseconds,
    completion: @escaping Completion
  ) -> ProxyHeaderReader {
    let reader = ProxyHeaderReader(connection, version, timeout, completion)
    reader.start()
    return reader
  }

  private init(
    _ connection: TCPConnection, _ version: ProxyHeaderParser.Version, _ timeout: Nanoseconds,
    _ completion: @escaping Completion
  ) {
    self.connection = connection
    self.completion = completion
    loop = connection.loop
    parser = ProxyHeaderParser(version)
    end = loop.readClock() + timeout
    descriptor = connection.detach() ?? -1
    ownsDescriptor = descriptor >= 0
  }

  deinit { closeSocket() }

  private func start() {
    guard ownsDescriptor else { return finish(.failure(.closed)) }
    handle = loop.deadlines.add(self, at: end)
    watch = SocketWatch(loop: loop, descriptor: descriptor, handler: self)
    // Most headers are here with the connection.
    socketBecameReadable()
    if outcome == nil, watch?.startReading() != true { finish(.failure(.closed)) }
  }

  /// Gives up and closes the socket.
  package func cancel() {
    completion = nil
    if case .success(let passed) = outcome { passed.connection.close() }
    outcome = nil
    abandon()
  }

  /// Settles it; the completion is called after the current callback.
  private func finish(_ result: Result<(connection: TCPConnection, source: ProxySource), ProxyHeaderError>) {
    abandon()
    guard completion != nil else { return }
    outcome = result
    loop.callAfterThisCallback(self)
  }

  private func abandon() {
    closeSocket()
    if let handle = handle.take() { loop.deadlines.remove(handle) }
  }

  private func closeSocket() {
    watch?.cancel()
    if ownsDescriptor { Glibc.close(descriptor) }
    ownsDescriptor = false
  }

  private func succeed(_ source: ProxySource) {
    // The connection watches the socket itself.
    watch?.cancel()
    ownsDescriptor = false
    let peer =
      switch source {
      case .address(let address): address
      case .peerItself: connection.peerAddress
      case .somebody: SocketAddress.unknownPeer
      }
    finish(.success((TCPConnection(loop: loop, descriptor: descriptor, peer: peer), source)))
  }

  /// Reads what there is of the header. What follows it must stay in the socket, where the handshake of TLS reads it: so
  /// it is looked at first, and then as much is taken as belongs to the header.
  private func read() throws(ProxyHeaderError) -> ProxySource? {
    var piece = [UInt8](repeating: 0, count: parser.room)
    let length = unsafe recv(descriptor, &piece, piece.count, Int32(MSG_PEEK))
    if length == 0 { throw .closed }
    guard length > 0 else {
      let error = SystemError.last
      if error.isWouldBlock || error.isInterrupted { return nil }
      throw .closed
    }
    var (source, taken): (ProxySource?, Int) = (nil, length)
    do throws(ProxyHeaderFault) {
      if case .complete(let found, let consumed) = try parser.parse(piece.span.extracting(first: length)) {
        (source, taken) = (found, consumed)
      }
    } catch {
      throw .header(error)
    }
    guard unsafe recv(descriptor, &piece, taken, 0) == taken else { throw .closed }
    return source
  }
}

extension ProxyHeaderReader: SocketWatchHandler, DeadlineMember, TurnMember {
  package func socketBecameWritable() {}

  package func socketBecameReadable() {
    do throws(ProxyHeaderError) {
      if let source = try read() { succeed(source) }
    } catch {
      finish(.failure(error))
    }
  }

  package func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    guard now < end else {
      finish(.failure(.timeout))
      return nil
    }
    return end
  }

  package func turnCame() {
    guard let outcome = outcome.take(), let completion = completion.take() else { return }
    completion(outcome)
  }
}
