import Glibc
import Loop
package import Sockets
package import Time

/// A connection that is becoming one over TLS. Lives by itself until it is settled.
package final class TLSHandshake {
  private let loop: EventLoop
  private let descriptor: Int32
  private var ownsDescriptor: Bool
  private let peer: SocketAddress
  private let role: TLSContext.Role
  private var engine: TLSEngine?
  private var watch: SocketWatch?
  private var completion: ((Result<TLSConnection, TLSError>) -> Void)?
  private var outcome: Result<TLSConnection, TLSError>?
  // The loop's deadline list keeps the handshake alive.
  private var handle: DeadlineHandle?
  private let end: MonotonicTime
  /// What a loop's handshakes may cost; `nil` where nobody counts.
  private var budget: HandshakeBudget?
  /// Whether the budget has it among those that can go on. The budget's to set.
  var waitsForStep = false
  private let tickets: TicketKeys?
  /// Takes the connection of a peer that speaks plain HTTP.
  private let answerPlainly: ((TCPConnection) -> Void)?

  /// Takes the socket of `connection` over, which may be closed already: then the handshake has failed.
  fileprivate init(
    over connection: TCPConnection, role: TLSContext.Role, timeout: Nanoseconds, terms: TLSAcceptTerms? = nil,
    completion: @escaping (Result<TLSConnection, TLSError>) -> Void
  ) {
    loop = connection.loop
    peer = connection.peerAddress
    self.role = role
    self.completion = completion
    budget = terms?.budget
    tickets = terms?.tickets
    answerPlainly = terms?.answerPlainly
    end = loop.readClock() + timeout
    descriptor = connection.detach() ?? -1
    ownsDescriptor = descriptor >= 0
    if !ownsDescriptor {
      budget = nil
      connection.close()
    }
  }

  fileprivate func start(_ context: TLSContext, serverName: String?) {
    guard ownsDescriptor else { return finish(.failure(.closed)) }
    handle = loop.deadlines.add(self, at: end)
    budget?.began()
    do throws(TLSError) {
      engine = try Self.engine(context, descriptor: descriptor, serverName: serverName, tickets: tickets)
      watch = SocketWatch(loop: loop, descriptor: descriptor, handler: self)
      // An accepted one has nothing to say before it has heard something.
      if budget == nil { takeStep() } else { read() }
    } catch {
      finish(.failure(error))
    }
  }

  deinit {
    // The deadline list has let go of it, or there was none.
    closeSocket()
  }

  /// Gives up and closes the socket. The completion is not called any more.
  package func cancel() {
    completion = nil
    if case .success(let connection) = outcome { connection.close() }
    outcome = nil
    abandon()
  }

  private static func engine(
    _ context: TLSContext, descriptor: Int32, serverName: String?, tickets: TicketKeys?
  ) throws(TLSError) -> TLSEngine {
    guard context.role == .client else {
      return try TLSEngine.make(context, descriptor: descriptor, serverName: nil, tickets: tickets)
    }
    let text = context.serverName ?? serverName ?? ""
    guard let name = ServerName(text) else { throw .setting("\"\(text)\" is not the name of a server") }
    return try TLSEngine.make(context, descriptor: descriptor, serverName: name)
  }

  private func advance() {
    guard let budget else { return takeStep() }
    budget.wait(self)
  }

  private func read() {
    if watch?.startReading() != true { finish(.failure(.socket(.outOfDescriptors))) }
  }

  /// Goes on with what has come.
  func takeStep() {
    guard let step = engine?.shakeHands() else { return }
    switch step {
    case .done: succeed()
    case .wantsRead:
      watch?.stopWriting()
      read()
    case .wantsWrite:
      // What can be read must not wake the loop meanwhile, again and again.
      watch?.stopReading()
      if watch?.startWriting() != true { finish(.failure(.socket(.outOfDescriptors))) }
    case .failed(let error):
      if error == .plainRequest, let answerPlainly { handOver(to: answerPlainly) }
      finish(.failure(error))
    }
  }

  /// Gives the connection up, so that the peer can be told what is wrong in the language that it speaks.
  private func handOver(to taker: (TCPConnection) -> Void) {
    watch?.cancel()
    engine = nil
    ownsDescriptor = false
    taker(TCPConnection(loop: loop, descriptor: descriptor, peer: peer))
  }

  private func succeed() {
    guard let engine = engine.take() else { return }
    // The connection watches the socket itself.
    watch?.cancel()
    ownsDescriptor = false
    let connection = TLSConnection(loop: loop, descriptor: descriptor, peer: peer, engine: engine, role: role)
    finish(.success(connection))
  }

  /// Settles it; the completion is called after the current callback.
  private func finish(_ result: Result<TLSConnection, TLSError>) {
    abandon()
    guard completion != nil else { return }
    outcome = result
    loop.callAfterThisCallback(self)
  }

  /// Lets go of everything.
  private func abandon() {
    closeSocket()
    budget.take()?.ended(self)
    guard let handle else { return }
    self.handle = nil
    loop.deadlines.remove(handle)
  }

  /// Closes the socket unless a connection has it.
  private func closeSocket() {
    watch?.cancel()
    engine = nil
    if ownsDescriptor { Glibc.close(descriptor) }
    ownsDescriptor = false
  }
}

/// What the handshakes of one accepting side have in common.
package struct TLSAcceptTerms {
  let budget: HandshakeBudget
  let tickets: TicketKeys
  let answerPlainly: (TCPConnection) -> Void

  /// - Parameters:
  ///   - tickets: the keys of tickets, shared with everything that may be handed one.
  ///   - answerPlainly: answers a client that speaks plain HTTP, and closes its connection. A part of its request was read.
  package init(
    budget: HandshakeBudget, tickets: TicketKeys, answerPlainly: @escaping (TCPConnection) -> Void
  ) {
    self.budget = budget
    self.tickets = tickets
    self.answerPlainly = answerPlainly
  }
}

extension TLSHandshake: SocketWatchHandler, DeadlineMember, TurnMember {
  package func socketBecameReadable() { advance() }
  package func socketBecameWritable() { advance() }

  package func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    guard now < end else {
      finish(.failure(.timeout))
      return nil
    }
    return end
  }

  package func turnCame() {
    guard let outcome, let completion else { return }
    self.outcome = nil
    self.completion = nil
    completion(outcome)
  }
}

extension TLSConnection {
  /// Makes a connection over TLS of one that was dialled; `connection` is over with the call.
  ///
  /// `completion` is called once, from the loop, never before this returns, and not at all after `cancel()`. Nothing
  /// need be kept.
  /// - Parameters:
  ///   - serverName: the name that was dialled: asked for and, unless the context says no, verified. A name in the
  ///     context's settings goes before it.
  ///   - timeout: for the whole handshake; late by up to 50 ms.
  @discardableResult
  package static func connect(
    over connection: TCPConnection, context: TLSContext, serverName: String, timeout: Nanoseconds,
    completion: @escaping (Result<TLSConnection, TLSError>) -> Void
  ) -> TLSHandshake {
    let handshake = TLSHandshake(over: connection, role: context.role, timeout: timeout, completion: completion)
    handshake.start(context, serverName: serverName)
    return handshake
  }

  /// The same for a connection that was accepted; `context` is a server's.
  @discardableResult
  package static func accept(
    over connection: TCPConnection, context: TLSContext, timeout: Nanoseconds, terms: TLSAcceptTerms? = nil,
    completion: @escaping (Result<TLSConnection, TLSError>) -> Void
  ) -> TLSHandshake {
    let handshake = TLSHandshake(
      over: connection, role: context.role, timeout: timeout, terms: terms, completion: completion)
    handshake.start(context, serverName: nil)
    return handshake
  }
}
