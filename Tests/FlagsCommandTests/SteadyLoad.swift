import Flags
import Harness
import Loop
import Synchronization
import Time

/// Clients that open streams at a steady rate, in turn at each of several gateways, on a thread of their own.
final class SteadyLoad: Sendable {
  /// What the clients have seen.
  struct Counts: Sendable {
    var opened = 0
    /// Streams that are over, by what `X-Stream-Mode` said.
    var modes: [String: Int] = [:]
    /// Streams that the backend was asked to cut.
    var faults = 0
    /// Answers that were no event stream.
    var refused = 0

    var over: Int { modes.values.reduce(0, +) + refused }
  }

  private struct State {
    var counts = Counts()
    var flags: FlagSet
    /// Clients to whom the flag gives graceful.
    var members: [Int] = []
    /// Of ten streams in graceful, so many are cut by the backend.
    var faultsInTen = 0
    var isOver = false
  }

  private let state: Mutex<State>
  private let rate: Int
  private let isBiased: Bool
  private let addresses: [SocketAddress]
  private let thread: Mutex<LoopThread?> = Mutex(nil)
  static let clients = 3000
  private static let tick = Nanoseconds.milliseconds(50)

  /// - Parameters:
  ///   - rate: streams a second.
  ///   - isBiased: whether half of the streams are of clients in graceful, however few these are.
  init(rate: Int, isBiased: Bool, flags: FlagSet, addresses: [SocketAddress]) throws {
    self.rate = rate
    self.isBiased = isBiased
    self.addresses = addresses
    state = Mutex(State(flags: flags))
    use(flags)
    let thread = try LoopThread.start(name: "load") { [self] loop in run(loop, at: loop.readClock(), due: 0) }
    self.thread.withLock { $0 = thread }
  }

  var counts: Counts { state.withLock { $0.counts } }

  /// Another flag file is in force.
  func use(_ flags: FlagSet) {
    let members = (0..<Self.clients).filter { Self.isTreated("client-\($0)", flags) }
    state.withLock { ($0.flags, $0.members) = (flags, members) }
  }

  func fail(inTen: Int) { state.withLock { $0.faultsInTen = inTen } }

  /// Opens nothing more, and waits until all streams are over.
  func stop() -> Counts {
    state.withLock { $0.isOver = true }
    thread.withLock { $0.take() }?.join()
    return counts
  }

  private static func isTreated(_ key: String, _ flags: FlagSet) -> Bool {
    flags.evaluate("stream-closing", EvaluationContext(targetingKey: key)).variant == "graceful"
  }

  /// Opens what is due, and comes back.
  private func run(_ loop: EventLoop, at begun: MonotonicTime, due: Int) {
    let isOver = state.withLock { $0.isOver && $0.counts.over >= $0.counts.opened }
    guard !isOver else { return loop.stop() }
    let wanted = Int((loop.readClock() - begun).milliseconds) * rate / 1000
    for number in due..<max(due, wanted) { open(number, on: loop) }
    let timer = Timer(loop: loop) { [self] in run(loop, at: begun, due: max(due, wanted)) }
    timer.schedule(after: Self.tick)
    pending.withLock { $0 = LoopBound(timer, loop: loop) }
  }

  private let pending: Mutex<LoopBound<Timer>?> = Mutex(nil)

  private func open(_ number: Int, on loop: EventLoop) {
    let query: String? = state.withLock { state in
      guard !state.isOver else { return nil }
      state.counts.opened += 1
      return ""
    }
    guard query != nil else { return }
    let key = key(of: number)
    let isCut: Bool = state.withLock { state in
      guard state.faultsInTen > number % 10, Self.isTreated(key, state.flags) else { return false }
      state.counts.faults += 1
      return true
    }
    // The wait stands for a model's: without one the time to the first event is the gateway's own.
    let target = "/s?delay=30&" + (isCut ? "events=3&cut=2" : "events=3&done=1")
    let fields = [Script.Field("X-Client-Id", key), Script.Field("Prefer", "stream-end")]
    let address = addresses[number / 2 % addresses.count]
    StreamClient(loop: loop, address: address, request: ClientRequest("GET", target, fields: fields)) { [self] result in
      state.withLock { state in
        if let mode = result.head.value("X-Stream-Mode") {
          state.counts.modes[mode, default: 0] += 1
        } else {
          state.counts.refused += 1
        }
      }
    }.start()
  }

  private func key(of number: Int) -> String {
    if number % 50 == 7 { return "qa" }
    // 1,103 and 3,000 have no common divisor: all clients come in turn, without an order.
    let any = number &* 1103 % Self.clients
    guard isBiased, number.isMultiple(of: 2) else { return "client-\(any)" }
    return state.withLock { "client-\($0.members.isEmpty ? any : $0.members[number / 2 % $0.members.count])" }
  }
}
