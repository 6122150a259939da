import CLibevent
import Glibc
package import Time

/// Someone who wants to be called later in the same turn of the loop, when the current callback has returned.
package protocol TurnMember: AnyObject {
  func turnCame()
}

/// One libevent loop, confined to the thread that runs it. `mailbox` is the way in from other threads.
///
/// A turn costs one `epoll_wait`: no clock is read and no timer heap exists unless a `Timer` or the `Resolver` is in
/// use. Time is kept by a tick every 50 ms, which also asks the `deadlines`.
@safe
package final class EventLoop {
  package static let tickInterval = Nanoseconds.milliseconds(50)

  // libevent's base. Never leaves the module.
  let base: OpaquePointer
  package let mailbox: Mailbox
  /// The time of the last tick or `readClock()`: at most 50 ms old while the loop runs.
  package private(set) var now: MonotonicTime
  package let input = InputBuffer()
  package let scratch = ScratchBuffer()
  package let gather = WriteGather()
  package let deadlines = DeadlineList()
  package let heartbeat: Heartbeat
  /// How late the last tick was: what an event that came meanwhile had to wait.
  package private(set) var tickLag = Nanoseconds.zero

  let playedClock: PlayedClock?
  private let ticker: Int32
  private var nextTick: MonotonicTime
  private var events = EventLoopEvents()
  private var turns: [any TurnMember] = []
  /// Those of them whose turn it is, so that the memory of both lists is used again.
  private var dueTurns: [any TurnMember] = []
  private var mustStop = false
  package private(set) var hasRun = false

  /// - Parameter clock: for tests: the loop's time then passes only when it is told to.
  package init(clock: PlayedClock? = nil) throws(LoopError) {
    playedClock = clock
    mailbox = try Mailbox()
    unsafe base = try Self.makeBase()
    let start = clock?.now ?? Self.clock()
    now = start
    nextTick = start + Self.tickInterval
    heartbeat = Heartbeat(at: start)
    // Everything is stored before the first throw that needs `deinit`.
    ticker = timerfd_create(CLOCK_MONOTONIC, Int32(TFD_NONBLOCK | TFD_CLOEXEC))
    mailbox.adoptThread()
    guard ticker >= 0 else { throw .system("timerfd_create", .last) }
    try startTicking()
    try watchInternally()
  }

  deinit {
    mailbox.close()
    events = EventLoopEvents()
    if ticker >= 0 { close(ticker) }
    unsafe event_base_free(base)
  }

  /// libevent's version, as it runs (not as it was compiled against).
  package static var libeventVersion: String {
    unsafe String(cString: event_get_version())
  }

  /// Runs the loop on the calling thread until `stop()`.
  package func run() {
    mailbox.adoptThread()
    hasRun = true
    readClock()
    while !mustStop {
      guard unsafe event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY) == 0 else { break }
    }
    mustStop = false
  }

  /// Calls back for what has come, once, without waiting for more.
  package func turn() {
    hasRun = true
    unsafe event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_NO_EXIT_ON_EMPTY)
  }

  /// Ends `run()` after the current callback, or at once when it is called next. On the loop's thread only; from
  /// elsewhere post it.
  package func stop() {
    mustStop = true
    unsafe event_base_loopbreak(base)
  }

  /// Reads CLOCK_MONOTONIC and makes it `now`.
  @discardableResult
  package func readClock() -> MonotonicTime {
    now = playedClock?.now ?? Self.clock()
    return now
  }

  package func wallTime() -> WallTime {
    var time = timespec()
    unsafe clock_gettime(CLOCK_REALTIME, &time)
    let ahead = playedClock?.civilTimeAhead ?? .zero
    return WallTime(milliseconds: Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000 + ahead.value / 1_000_000)
  }

  /// Calls `member` once the current callback has returned, without a system call; retains it until then.
  package func callAfterThisCallback(_ member: any TurnMember) {
    turns.append(member)
    if turns.count == 1 { events.activateTurn() }
  }

  private static func clock() -> MonotonicTime {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return MonotonicTime(nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
  }

  @unsafe
  private static func makeBase() throws(LoopError) -> OpaquePointer {
    guard let configuration = unsafe event_config_new() else { throw .unavailable("event_config_new") }
    defer { unsafe event_config_free(configuration) }
    // One thread per base, so no locks. Without the cache a turn that has no timers reads no clock.
    let flags = EVENT_BASE_FLAG_NOLOCK.rawValue | EVENT_BASE_FLAG_NO_CACHE_TIME.rawValue
    unsafe event_config_set_flag(configuration, Int32(flags))
    guard let base = unsafe event_base_new_with_config(configuration) else { throw .unavailable("event_base") }
    return unsafe base
  }

  private func startTicking() throws(LoopError) {
    // Who plays the clock scans the deadlines.
    guard playedClock == nil else { return }
    let interval = timespec(tv_sec: 0, tv_nsec: Int(Self.tickInterval.value))
    var timer = itimerspec(it_interval: interval, it_value: interval)
    nextTick = Self.clock() + Self.tickInterval
    guard unsafe timerfd_settime(ticker, 0, &timer, nil) == 0 else { throw .system("timerfd_settime", .last) }
  }

  private func watchInternally() throws(LoopError) {
    let context = unsafe Unmanaged.passUnretained(self).toOpaque()
    let isReady = unsafe events.make(base: base, ticker: ticker, mailbox: mailbox.descriptor, context: context)
    guard isReady else { throw .unavailable("event") }
  }

  /// Lets everything go that waits for this loop, which will not run again: members hold the loop they wait for.
  package func abandonMembers() {
    mailbox.close()
    deadlines.removeAll()
    turns = []
    dueTurns = []
  }

  fileprivate func ticked() {
    var expirations: UInt64 = 0
    _ = unsafe Glibc.read(ticker, &expirations, 8)
    let time = readClock()
    tickLag = max(.zero, time - nextTick)
    nextTick = nextTick + Nanoseconds(Self.tickInterval.value &* Int64(clamping: expirations))
    heartbeat.beat(at: time)
    deadlines.scan(at: time)
  }

  fileprivate func turnCame() {
    swap(&turns, &dueTurns)
    for member in dueTurns { member.turnCame() }
    dueTurns.removeAll(keepingCapacity: dueTurns.capacity <= 1024)
  }
}

/// The loop's own three events: tick, mailbox, and the one that is activated by hand.
private struct EventLoopEvents: ~Copyable {
  private var tick: RawEvent?
  private var letters: RawEvent?
  private var turn: RawEvent?

  /// Makes and adds them; `context` is the loop, unretained.
  @unsafe
  mutating func make(base: OpaquePointer, ticker: Int32, mailbox: Int32, context: UnsafeMutableRawPointer) -> Bool {
    let flags = EV_READ | EV_PERSIST
    tick = unsafe RawEvent(base: base, descriptor: ticker, flags: flags, context: context) { _, _, context in
      unsafe loop(context)?.ticked()
    }
    letters = unsafe RawEvent(base: base, descriptor: mailbox, flags: flags, context: context) { _, _, context in
      unsafe loop(context)?.mailbox.deliver()
    }
    turn = unsafe RawEvent(base: base, descriptor: -1, flags: 0, context: context) { _, _, context in
      unsafe loop(context)?.turnCame()
    }
    return tick?.add() == true && letters?.add() == true && turn != nil
  }

  func activateTurn() {
    turn?.activate()
  }
}

@unsafe
private func loop(_ context: UnsafeMutableRawPointer?) -> EventLoop? {
  unsafe context.map { unsafe Unmanaged<EventLoop>.fromOpaque($0).takeUnretainedValue() }
}
