import Bytes
import Configuration
import HTTP
import Loop
import Runs
package import SSE
package import Streams
import Telemetry
package import Time

/// A run whose events are kept in a log, so that readers may come, go and come back.
///
/// Lives on one loop, and all its readers with it. An event is in the log before a reader sees it.
package final class Run {
  private enum Supply {
    case source(any RunSource)
    /// The run is over. Its source had asked so many backends.
    case stopped(attempts: Int)
  }

  let identity: RunIdentity
  let host: any RunHost
  package let context: LoopContext
  package let route: Route
  let settings: RunSettings
  package let log: any EventLog
  /// Whether readers may see what the log has taken in the same moment. Not so where a store has to acknowledge it.
  let isImmediate: Bool
  package let startedAt: MonotonicTime
  /// What readers' responses pass on; `nil` while there is no stream.
  private(set) var head: ResponseHead?
  private(set) var readers: [any RunClient] = []
  /// Those who send the log to copies on other loops.
  private(set) var feeders: [any RunRelay] = []

  /// What makes the run this gateway's among all replicas.
  var ownership: RunOwnership?
  /// Where other replicas can see how it stands; `nil` when they know nothing of it.
  var notice: RunNotice?
  /// Whether its store is away, so that it can't be resumed.
  var isDegraded = false

  private var machine: RunMachine
  private var supply: Supply
  let isOwner: Bool
  package let home: RunHome
  private let share: PrincipalMemory
  private var unread: UnreadPlace
  private var deadline: DeadlineHandle?
  let memory: MemoryLog
  /// Whether the source waits for those who read along.
  var isHeldUp = false

  init(
    identity: RunIdentity, log: any EventLog, isImmediate: Bool, source: any RunSource, policy: DisconnectPolicy,
    route: Route, settings: RunSettings, host: any RunHost
  ) {
    self.identity = identity
    self.log = log
    memory = log.memory
    self.isImmediate = isImmediate
    supply = .source(source)
    machine = RunMachine(policy: policy, isOwner: source.isOwner)
    isOwner = source.isOwner
    home = source.home
    share = host.process.memories.memory(of: identity.principal)
    unread = UnreadPlace(among: host.process.unread, of: identity.principal)
    self.route = route
    self.settings = settings
    self.host = host
    context = host.context
    startedAt = context.loop.now
  }

  package var stream: StreamID { identity.stream }
  package var readerCount: Int { readers.count }
  package var isOver: Bool { machine.phase == .over }
  var isOpen: Bool { machine.phase == .open }
  /// `nil` when the run is over.
  var source: (any RunSource)? {
    if case .source(let source) = supply { source } else { nil }
  }
  /// Whether other replicas have it too.
  package var isShared: Bool { isOwner ? ownership != nil && !isDegraded : settings.isStored || home != .anotherLoop }
  /// Whether it needs that way to the store.
  func uses(_ store: any RunStore) -> Bool { ownership?.uses(store) ?? false || source?.uses(store) ?? false }
  /// Whether the run is over and its end record is stored. A store that is unreachable is not waited for.
  var isSettled: Bool { isOver && (isDegraded || ownership?.isSettled != false) }

  func begin() {
    host.add(self)
    // A log that has nothing to tell need not hold us.
    if !isImmediate { log.observer = self }
    ownership?.begin(of: self)
    deadline = context.loop.deadlines.add(self, at: context.loop.now)
    source?.begin(feeding: self)
  }

  // MARK: - What the source tells

  /// There is a stream, or it is to be opened without waiting further.
  func opened(_ head: ResponseHead) { opened(head, isCatchingUp: false) }

  private func opened(_ head: ResponseHead, isCatchingUp: Bool) {
    guard machine.opens(isCatchingUp: isCatchingUp) else { return }
    self.head = head
    log.memory.charge(head.fields.memory)
    openWaiting(all: isOwner, at: context.loop.now)
    for feeder in feeders { feeder.runOpened(head) }
    tellReplicas()
    wakeUp()
  }

  /// A reader that would have the stream opened before a backend has answered well.
  var wantsEarlyOpening: Bool { readers.contains { $0.opensEarly } }

  /// Opens with what there is already, the end included if it has come.
  func adopt(_ head: ResponseHead, _ batch: RunBatch) {
    guard machine.phase == .opening else { return }
    let breach = keep(batch)
    if breach == nil, let end = batch.end { log.finish(end) }
    opened(head, isCatchingUp: batch.isPart)
    advanceOrEnd(after: batch, breach)
  }

  /// Keeps entries that come ready.
  func take(_ batch: RunBatch) {
    guard machine.takes(isCatchingUp: batch.isPart) else { return }
    advanceOrEnd(after: batch, keep(batch))
  }

  private func keep(_ batch: RunBatch) -> LogLimit? {
    var breach: LogLimit?
    batch.read { block, metadata in
      if case .full(let limit) = log.append(block, metadata) { breach = limit }
      return breach == nil
    }
    return breach
  }

  private func advanceOrEnd(after batch: RunBatch, _ breach: LogLimit?) {
    if let breach {
      // The run may go on where it lives; this loop has no room for what its readers want.
      if isOwner { return end(breach.outcome, reason: breach.reason) }
      for reader in readers { reader.finish(breach.outcome, reason: breach.reason) }
      return
    }
    if let record = batch.end { end(record) } else { readersAdvance() }
  }

  /// Entries have come.
  func readersAdvance() {
    if !isOwner { openWaiting(all: false, at: context.loop.now) }
    if readers.count == 1 {
      // Most runs have one, and for it no copy of the list is held on to.
      let reader = readers[0]
      if !reader.hasAll { reader.advance() }
    } else {
      for reader in readers where !reader.hasAll { reader.advance() }
    }
    if !feeders.isEmpty { for feeder in feeders { feeder.advance() } }
    if share.wantsRoom { host.makeRoom(for: share) }
    trimMemory()
  }

  /// The source has come to its end, which is in the log then.
  func end(_ record: EndRecord, result: AttemptResult? = nil) {
    guard !isOver else { return }
    if !isOpen { openForEnd(record) }
    machine.ends(at: context.loop.now)
    unread.leave()
    stopSource(result ?? .ended(record.outcome))
    log.finish(record)
    host.ended(self, record)
    openWaiting(all: true, at: context.loop.now)
    for reader in readers { reader.advance() }
    for feeder in feeders { feeder.advance() }
    tellReplicas()
    wakeUp()
  }

  private func stopSource(_ result: AttemptResult) {
    guard case .source(let source) = supply else { return }
    supply = .stopped(attempts: 0)
    source.stop(result)
    supply = .stopped(attempts: source.attempts)
  }

  /// Ends the run for a reason that is not its source's.
  func end(_ outcome: Outcome, reason: String) {
    guard !isOver, let source else { return }
    guard isOwner else { return source.cancel() }
    let counts = source.conclude()
    end(
      EndRecord(
        outcome: outcome, reason: reason, events: counts.events, bytes: counts.bytes, upstreamIsComplete: false))
  }

  /// It ended before there was a stream: those who understand `stream_end` are told by it, the others by a status.
  private func openForEnd(_ record: EndRecord) {
    head = .eventStream
    for reader in readers where !reader.opensEarly { reader.runFailed(.stopped(reason: record.reason)) }
    for reader in readers { reader.runOpened(.eventStream) }
    for feeder in feeders { feeder.runOpened(.eventStream) }
  }

  /// There is no stream and will be none.
  func failed(_ failure: RunFailure, result: AttemptResult = .ended(.clientGone)) {
    guard machine.givenUp() != .over else { return }
    stopSource(result)
    let waiting = readers
    readers = []
    for reader in waiting { reader.runFailed(failure) }
    for feeder in feeders { feeder.runFailed(failure) }
    vanish()
  }

  /// The backend's response is no stream: it belongs to the client that asked first, and there is no run.
  func passOn(
    _ upstreamRequest: UpstreamRequest, _ head: consuming ResponseHead, _ framing: BodyFraming,
    to opener: (any RunClient)?
  ) {
    guard machine.phase == .opening else { return upstreamRequest.cancel() }
    _ = machine.givenUp()
    supply = .stopped(attempts: 0)
    let others = readers.filter { $0 !== opener }
    readers = []
    vanish()
    for reader in others { reader.runFailed(.noStream) }
    for feeder in feeders { feeder.runFailed(.noStream) }
    if let opener { opener.takeOver(upstreamRequest, head, framing) } else { upstreamRequest.cancel() }
  }

  // MARK: - Readers

  /// Takes a reader in. It gets what the log holds from its place on, then what comes.
  func attach(_ reader: any RunClient) {
    readers.append(reader)
    machine.readerCame()
    unread.leave()
    if let policy = reader.wish.policy { take(wish: policy) }
    tellReplicas()
    guard let head else { return }
    // It has read further elsewhere: what is on its way here is waited for.
    guard !isOwner, isOpen, reader.isAhead(isCatchingUp: machine.isCatchingUp, at: context.loop.now) else {
      return reader.runOpened(head)
    }
    wakeUp()
  }

  /// A reader, here or elsewhere, says what is to become of the run when nobody reads it. The last one that does counts.
  func take(wish policy: DisconnectPolicy) {
    // A copy goes with its last reader, whatever becomes of the run.
    if isOwner { machine.wished(policy) } else { source?.readerWishes(policy) }
    notice?.post(wish: policy)
    wakeUp()
  }

  /// Opens the streams of readers that were ahead and are not any more, or that have waited for long enough.
  private func openWaiting(all: Bool, at now: MonotonicTime) {
    guard let head else { return }
    let isCatchingUp = machine.isCatchingUp
    for reader in readers where reader.isWaiting {
      let isAwaited = isCatchingUp || now < reader.askedAt + Self.timeToCatchUp
      if all || !isAwaited || !reader.isAhead(isCatchingUp: isCatchingUp, at: now) { reader.runOpened(head) }
    }
  }

  private static let timeToCatchUp = Nanoseconds.seconds(1)

  /// A reader is gone, for whatever reason.
  func detach(_ reader: any RunClient) {
    guard let index = readers.firstIndex(where: { $0 === reader }) else { return }
    readers.remove(at: index)
    source?.readerLeft(reader)
    trimMemory()
    tellReplicas()
    machine.readerLeft(at: context.loop.now)
    checkAttendance()
  }

  /// A copy on another loop wants what the log holds and will hold.
  func addCopy(_ feeder: any RunRelay) {
    feeders.append(feeder)
    machine.readerCame()
    unread.leave()
    if let head { feeder.runOpened(head) }
  }

  func feeder(of home: Int) -> (any RunRelay)? { feeders.first { $0.home == home } }

  func removeCopy(on home: Int) {
    guard let index = feeders.firstIndex(where: { $0.home == home }) else { return }
    feeders.remove(at: index)
    trimMemory()
    machine.readerLeft(at: context.loop.now)
    checkAttendance()
  }

  /// How it stands.
  package var report: RunSummary {
    let end = log.end
    let phase: RunStatus.Phase =
      switch machine.phase {
      case .opening: .opening
      case .open: .running
      // Until its end is stored readers have not been told of it.
      case .over: end == nil ? .running : .ended
      }
    let attempts =
      switch supply {
      case .source(let source): source.attempts
      case .stopped(let attempts): attempts
      }
    return RunSummary(
      stream: stream, state: phase, sequence: log.last, readers: machine.readers, attempts: attempts, end: end,
      milliseconds: Int(((machine.endedAt ?? context.loop.now) - startedAt).milliseconds))
  }

  /// The one who asked for the run has left in the middle of its request.
  func openerLeftUnfinished() { perform(machine.openerLeft()) }

  private func checkAttendance() { perform(machine.checkAttendance(at: context.loop.now) { unread.take() }) }

  /// The one place where is done what the machine decides about a run that nobody may read.
  private func perform(_ action: RunMachine.Action) {
    switch action {
    case .nothing: break
    case .wakeUp: wakeUp()
    case .vanish: vanish()
    case .askReplicas: askReplicas()
    case .fail: failed(.gone)
    case .end(let reason):
      let isComplete = reason == .lastReaderLeft && source?.hasTerminal == true
      end(isComplete ? .completed : .cancelled, reason: reason.text)
    }
  }

  private func askReplicas() {
    let isAsking = askForReadersElsewhere { [weak self] isRead, wish in
      guard let self else { return }
      let now = context.loop.now
      perform(machine.replicasAnswered(isRead: isRead, wish: wish, at: now) { unread.take() })
    }
    if !isAsking { perform(machine.nobodyCanBeAsked()) }
  }

  // MARK: - Time

  /// Looks at the clocks at the next tick.
  func wakeUp() {
    if let deadline { context.loop.deadlines.move(deadline, to: context.loop.now) }
  }

  /// Forgets the run. Who still reads it goes on to its end.
  func vanish() {
    let phase = machine.givenUp()
    unread.leave()
    if phase != .over { stopSource(.ended(.clientGone)) }
    if machine.endedAt == nil { tellReplicas() }
    ownership?.giveUp()
    if let handle = deadline.take() { context.loop.deadlines.remove(handle) }
    host.remove(self)
    if readers.isEmpty, feeders.isEmpty { log.retire() }
  }

  func drainBegan() { ownership?.drainBegan() }

  /// The loop ends: nothing of it is to hold on to itself.
  func letGo() {
    log.observer = nil
    stopSource(.ended(.draining))
    ownership?.letGo()
    ownership = nil
    readers = []
    feeders = []
  }
}

extension Run: DeadlineMember {
  func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    if isOver {
      guard let endedAt = machine.endedAt, isOwner else { return nil }
      let due = endedAt + settings.timeToLive
      if due <= now, readers.isEmpty, feeders.allSatisfy({ $0.place == nil }) {
        vanish()
        return nil
      }
      return max(due, now + .seconds(1))
    }
    trimMemory()
    checkAttendance()
    if isOver { return now }
    let next = source?.timePassed(now) ?? now
    if isOver { return now }
    if !isOwner { openWaiting(all: false, at: now) }
    return machine.nextWakeUp(at: now).map { min(next, $0) } ?? next
  }
}
