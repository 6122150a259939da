import Bytes
package import Loop
package import Sockets
import Streams
package import Time

/// One connection to Redis, made anew when it is lost. Commands are answered in the order they are sent.
///
/// Commands sent in one turn of the loop leave in one write; large ones at once, without a copy. Commands that may wait
/// leave when those in flight are answered: the busier Redis and this loop are, the more of them share a write, a
/// wake-up and a read at either end. Every command is answered, by Redis or by an error: when the connection is lost
/// all that wait are, and nothing is ever sent twice. Retained by the loop until `close()`.
package final class RedisConnection: RedisLink {
  /// What commands go over.
  private enum Carrier {
    case none
    /// The transport is being opened.
    case opening(cancel: () -> Void)
    case open(any Connection, ReplyReader)
  }

  private struct Pending {
    let receiver: any RedisReceiver
    let tag: UInt64
    let deadline: MonotonicTime
    let kind: RedisCommandKind
  }

  package let loop: EventLoop
  package internal(set) var limits: Limits
  var greeting: Greeting
  var transport: any RedisTransport

  private var machine = RedisConnectionMachine()
  private var carrier = Carrier.none
  private var chance = SystemRandomNumberGenerator()
  private let command = RedisCommand()
  /// Commands that are not written yet.
  private var output = ByteBuffer()
  /// How many they are.
  private var unwritten = 0
  /// Whether one of them is not to wait for those that are on their way.
  private var isUrgent = false
  /// Sent, or waiting to be.
  private var pending = Queue<Pending>()
  /// To be told of their failure after the current callback.
  private var failed = Queue<(Pending, RedisError)>()
  private var isTurnDue = false
  /// Whether more waits for Redis to be read than is good.
  private var isHeldBack = false
  private var observers: [ObjectIdentifier: any RedisConnectionObserver] = [:]
  /// Told of a new connection before all others; what it sends goes ahead of the commands that wait for the connection.
  package weak var forerunner: (any RedisConnectionObserver)?
  private var handle: DeadlineHandle?

  /// What has happened since the beginning.
  package internal(set) var counts = Counts()
  /// Makes the meter of each server that this has a connection with; `nil` where nobody counts by servers.
  var meters: ((RedisAddress) -> any RedisMeter)?
  var metered: (place: RedisAddress, meter: any RedisMeter)?
  private var writeTimes = WriteTimes()
  /// What was wrong when a connection last could not be made or was lost; for people.
  package private(set) var lastFault: String?
  /// Which error Redis answered last, and its text; for people.
  package internal(set) var lastRefusal: String?
  /// What the server said about itself in the last greeting.
  package internal(set) var server = RedisServerInfo()
  /// Redis's number for this connection (`CLIENT ID`), while it is ready.
  package internal(set) var clientID: Int64?
  /// Gets all that comes, instead of the senders: for connections that subscribe to channels.
  package var listener: ((RedisReply) -> Void)?
  /// The last time anything came.
  package private(set) var lastInput: MonotonicTime

  package init(
    loop: EventLoop, transport: any RedisTransport, greeting: Greeting = Greeting(), limits: Limits = Limits()
  ) {
    self.loop = loop
    self.transport = transport
    self.greeting = greeting
    self.limits = limits
    lastInput = loop.now
  }

  package var isReady: Bool { machine.phase == .ready }
  /// Whether Redis was away and others may not have found it again yet.
  package var hasJustReturned: Bool { machine.hasJustReturned(at: loop.now) }
  package func doubtful(in slot: Int?) -> MonotonicTime? { nil }
  package var serverID: String { server.runID }
  package var refusal: String? {
    server.isUnsupported(as: greeting.peer)
      ? server.refusal(as: greeting.peer, allowsCluster: greeting.allowsCluster) : nil
  }
  package var isClosed: Bool { machine.phase == .closed }
  /// Commands that wait for their answers.
  package var pendingCommands: Int { pending.count }

  private var connection: (any Connection)? {
    if case .open(let connection, _) = carrier { connection } else { nil }
  }

  private var reader: ReplyReader? {
    if case .open(_, let reader) = carrier { reader } else { nil }
  }

  // MARK: - Use

  /// Sends a command: a large one at once, others when the current callback has returned.
  @discardableResult
  package func send(
    to receiver: any RedisReceiver, tag: UInt64, timeout: Nanoseconds?, mayWait: Bool, _ write: (RedisCommand) -> Void
  ) -> Bool {
    write(command)
    start()
    let deadline = loop.now + (timeout ?? limits.command)
    let entry = Pending(receiver: receiver, tag: tag, deadline: deadline, kind: command.kind)
    let length = command.finish()
    defer { command.clear() }
    if let error = refusal(length) {
      failed.append((entry, error))
      wantTurn()
      return false
    }
    counts.commands += 1
    if listener == nil { pending.append(entry) }
    if isReady, length >= Self.enough {
      // It is not worth being copied.
      writeOutput()
      command.withText { connection?.write($0) }
      noteWrite(1)
      return true
    }
    command.withText { output.append($0) }
    unwritten += 1
    if !mayWait { isUrgent = true }
    if leavesNow { wantTurn() }
    return true
  }

  private func writeOutput() {
    guard !output.isEmpty else { return }
    connection?.write(output.span)
    noteWrite(unwritten)
    if output.allocated > Self.keptMemory { output.release() } else { output.removeAll() }
    unwritten = 0
    isUrgent = false
  }

  private func noteWrite(_ commands: Int) {
    if metered != nil, listener == nil { writeTimes.wrote(commands, at: loop.readClock()) }
  }

  package func sendToAll(_ receiver: any RedisReceiver, tag: UInt64, _ write: (RedisCommand) -> Void) {
    send(to: receiver, tag: tag, write)
  }

  package func start() {
    guard machine.phase == .idle else { return }
    handle = loop.deadlines.add(self, at: loop.readClock() + EventLoop.tickInterval)
    perform(machine.wanted(at: loop.now))
  }

  package func add(_ observer: any RedisConnectionObserver) {
    observers[ObjectIdentifier(observer)] = observer
  }

  package func remove(_ observer: any RedisConnectionObserver) {
    observers[ObjectIdentifier(observer)] = nil
  }

  /// Ends the connection for good. Commands that wait fail after the current callback.
  package func close() {
    guard machine.closes() else { return }
    dropCarrier()
    failAll(.notConnected("closed"))
    leaveMeter()
    observers = [:]
    listener = nil
    if let handle { loop.deadlines.remove(handle) }
    handle = nil
  }

  /// Gives the connection up as if it had been lost, and makes another one.
  package func drop(because reason: String) {
    guard isReady else { return }
    lose(.connectionLost(reason))
  }

  /// Gives up what leads to the wrong server, a connection or an attempt, and tries anew.
  func moveOn(because reason: String) {
    lose(.connectionLost(reason))
  }

  /// Observers hear when it has read most of what it was sent, so that nobody's commands go before those of who has waited,
  /// and when there is a new connection.
  package func hasRoom(for key: String) -> Bool { hasRoom }

  var hasRoom: Bool {
    if (connection?.queuedBytes ?? 0) >= Self.highWater { isHeldBack = true }
    return !isClosed && !isHeldBack && pending.count + 1000 <= limits.commands
      && output.count + (2 << 20) <= limits.bytes && !hasLostPatience
  }

  /// Bytes that wait for Redis to read them before more is held back, and again few enough.
  private static let highWater = 1 << 20
  private static let lowWater = 256 << 10

  /// Whether what is not written yet is to be written in this turn.
  private var leavesNow: Bool { isUrgent || pending.count <= unwritten || output.count >= Self.enough }

  /// Bytes that are worth a write of their own.
  private static let enough = 64 << 10
  /// Bytes of memory that are kept for what comes next.
  private static let keptMemory = 1 << 20

  private func refusal(_ length: Int) -> RedisError? {
    if isClosed { return .notConnected("closed") }
    if pending.count >= limits.commands || output.count + length > limits.bytes { return .overloaded }
    return hasLostPatience ? .notConnected(lastFault ?? "no connection yet") : nil
  }

  private var hasLostPatience: Bool { machine.hasLostPatience(at: loop.now, after: limits.patience) }

  // MARK: - Coming and going

  /// The one place where what the machine decides is done.
  private func perform(_ action: RedisConnectionMachine.Action) {
    switch action {
    case .nothing: break
    case .connect: connect()
    case .greet(let steps): say(steps)
    case .carry: carry()
    case .giveUp(let error, let wasReady): giveUp(error, wasReady: wasReady)
    }
  }

  private func connect() {
    let cancel = transport.open(timeout: limits.connect) { [weak self] result in
      guard let self, machine.phase == .connecting else {
        if case .success(let connection) = result { connection.close() }
        return
      }
      followPlace()
      switch result {
      case .success(let connection): greet(over: connection)
      case .failure(let error): lose(error)
      }
    }
    carrier = .opening(cancel: cancel)
    followPlace()
  }

  private func greet(over connection: any Connection) {
    guard let reader = ReplyReader() else {
      connection.close()
      return lose(.notConnected("out of memory"))
    }
    carrier = .open(connection, reader)
    connection.handler = self
    connection.lowWaterMark = Self.lowWater
    perform(machine.opened(greetingSteps))
    connection.startReading()
  }

  private func say(_ steps: [GreetingStep]) {
    var text = ByteBuffer()
    for step in steps {
      write(step, to: command)
      _ = command.finish()
      command.withText { text.append($0) }
      command.clear()
    }
    connection?.write(text.span)
  }

  private func carry() {
    metered?.meter.connected()
    putFirst { forerunner?.redisBecameReady() }
    for observer in observers.values { observer.redisBecameReady() }
    wantTurn()
  }

  /// Has the commands that `body` sends leave before those that wait.
  private func putFirst(_ body: () -> Void) {
    var waiting = ByteBuffer()
    var owners = Queue<Pending>()
    swap(&waiting, &output)
    swap(&owners, &pending)
    let count = unwritten
    unwritten = 0
    body()
    unwritten += count
    if output.isEmpty { swap(&waiting, &output) } else { output.append(waiting.span) }
    while let owner = owners.popFirst() { pending.append(owner) }
  }

  /// The connection, or the attempt to make it, is of no use.
  private func lose(_ error: RedisError) {
    perform(machine.failed(error, at: loop.now, under: limits, using: &chance))
  }

  private func giveUp(_ error: RedisError, wasReady: Bool) {
    dropCarrier()
    lastFault = error == .timedOut ? limits.commandName.ending("no answer in time") : error.reason
    clientID = nil
    if wasReady { counts.losses += 1 } else { counts.failures += 1 }
    metered?.meter.lost(lastFault ?? "", wasMade: wasReady, waiting: wasReady ? pending.first?.kind : nil)
    guard wasReady else { return }
    failAll(error)
    for observer in observers.values { observer.redisWasLost() }
  }

  private func dropCarrier() {
    switch carrier {
    case .none: break
    case .opening(let cancel): cancel()
    case .open(let connection, _): connection.close()
    }
    carrier = .none
    isHeldBack = false
  }

  private func failAll(_ error: RedisError) {
    output.release()
    unwritten = 0
    isUrgent = false
    writeTimes = WriteTimes()
    while let entry = pending.popFirst() { failed.append((entry, error)) }
    if !failed.isEmpty { wantTurn() }
  }

  private func wantTurn() {
    guard !isTurnDue else { return }
    isTurnDue = true
    loop.callAfterThisCallback(self)
  }

  // MARK: - Answers

  private func answered(_ reply: RedisReply) {
    switch machine.phase {
    case .greeting: greeted(reply)
    case .ready:
      if let listener { return listener(reply) }
      guard let entry = pending.popFirst() else {
        return lose(.protocolViolation("an answer without a command"))
      }
      if let written = writeTimes.next() { metered?.meter.answered(entry.kind, after: loop.now - written) }
      if reply.isError, let reason = refused(reply) {
        // The command fails with the connection: it may be asked again, over another one.
        lose(.connectionLost(reason))
        return entry.receiver.redisAnswered(.failure(.connectionLost(reason)), tag: entry.tag)
      }
      entry.receiver.redisAnswered(.success(reply), tag: entry.tag)
    case .idle, .connecting, .pausing, .closed: break
    }
  }

  private func greeted(_ reply: RedisReply) {
    guard let step = machine.step else { return }
    perform(
      machine.greetingAnswered(refusal: read(reply, to: step), at: loop.now, under: limits, using: &chance))
  }
}

extension RedisConnection: ConnectionHandler {
  package func connectionReceived(_ input: InputBuffer) {
    guard let reader else { return }
    lastInput = metered == nil ? loop.now : loop.readClock()
    do throws(RedisError) {
      try reader.read(input.bytes) { reply in
        answered(reply)
        // Whoever got the answer may have ended this connection.
        return self.reader === reader
      }
    } catch {
      if self.reader === reader { lose(error) }
    }
    // What has waited for these answers, and what their receivers send now.
    if !output.isEmpty, leavesNow { wantTurn() }
  }

  package func connectionDrained() {
    isHeldBack = false
    for observer in observers.values { observer.redisHasRoom() }
  }

  package func connectionEnded(_ end: ConnectionEnd) {
    switch end {
    case .finished: lose(.connectionLost("closed by Redis"))
    case .failed(let error): lose(.connectionLost(error.description))
    }
  }
}

extension RedisConnection: TurnMember, DeadlineMember {
  package func turnCame() {
    isTurnDue = false
    if isReady, leavesNow { writeOutput() }
    while let (entry, error) = failed.popFirst() { entry.receiver.redisAnswered(.failure(error), tag: entry.tag) }
  }

  package func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    if isClosed { return nil }
    perform(machine.timePassed(at: now, answerDue: pending.first?.deadline, under: limits, using: &chance))
    if hasLostPatience, !pending.isEmpty { failAll(.notConnected(lastFault ?? "no connection in time")) }
    return now + EventLoop.tickInterval
  }
}
