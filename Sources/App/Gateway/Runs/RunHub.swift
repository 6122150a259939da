import Loop
import Streams
import Synchronization

/// What the runs of all loops share: who they are, what memory they may hold, how loops reach each other.
package final class RunHub: Sendable {
  let directory = RunDirectory()
  let budget: RunBudget
  /// The same memory, by principals.
  let memories: PrincipalMemories
  /// For the bodies of requests that are kept.
  let bodies: RunBudget
  /// Runs that go on though nobody reads them.
  let unread: UnreadRuns
  /// Runs of which Redis keeps something.
  let stored: StoredRuns
  /// Of the hashes of clients' identities that the census counts by.
  let identitySeed: UInt64
  private let loops = Mutex<[Int: Neighbour]>([:])
  private let standings = Mutex<[Int: StoreStanding]>([:])

  private struct Neighbour {
    let mailbox: Mailbox
    let worker: LoopBound<Worker>
  }

  init(_ configuration: Configuration, identitySeed: UInt64) {
    self.identitySeed = identitySeed
    budget = RunBudget(limit: configuration.runs.memory)
    memories = PrincipalMemories(budget, percent: configuration.runs.memoryShare)
    bodies = RunBudget(limit: configuration.limits.bodies)
    unread = UnreadRuns(limit: configuration.runs.unread, share: configuration.runs.unreadPerPrincipal)
    stored = StoredRuns(limit: configuration.runs.stored, share: configuration.runs.storedPerPrincipal)
  }

  func join(_ worker: Worker) {
    let neighbour = Neighbour(mailbox: worker.loop.mailbox, worker: LoopBound(worker, loop: worker.loop))
    loops.withLock { $0[worker.index] = neighbour }
  }

  func leave(_ worker: Worker) {
    _ = loops.withLock { $0.removeValue(forKey: worker.index) }
  }

  /// Notes whether a loop has the store that all replicas share.
  func note(_ standing: StoreStanding, of index: Int) { standings.withLock { $0[index] = standing } }

  /// Whether all loops that want the store have it: the first of them that has not says why.
  var store: StoreStanding {
    standings.withLock { standings in
      let known = standings.sorted { $0.key < $1.key }.map(\.value)
      return known.first { $0.fault != nil } ?? (known.contains(.connected) ? .connected : .unknown)
    }
  }

  /// Has the worker `index` run `body` on its loop, after what was asked of it before.
  ///
  /// - Returns: false when it is gone.
  @discardableResult
  func ask(_ index: Int, _ body: @escaping @Sendable (Worker) -> Void) -> Bool {
    guard let neighbour = loops.withLock({ $0[index] }) else { return false }
    return neighbour.mailbox.post { body(neighbour.worker.value) }
  }

  /// Has every worker run `body`.
  ///
  /// - Returns: how many will.
  func askAll(_ body: @escaping @Sendable (Worker) -> Void) -> Int {
    loops.withLock { Array($0.keys) }.count { ask($0, body) }
  }

  /// Has every worker but `asking` run `body`.
  func askOthers(than asking: Worker, _ body: @escaping @Sendable (Worker) -> Void) {
    for index in loops.withLock({ Array($0.keys) }) where index != asking.index { ask(index, body) }
  }
}

/// Memory that the clients of all loops share.
final class RunBudget: ByteBudget {
  let limit: Int
  /// Bytes beyond it that all runs together may borrow until their readers have had what came.
  private let loans: Int
  private let taken = Atomic<Int>(0)

  init(limit: Int) {
    self.limit = limit
    loans = max(limit / 16, 4 << 20)
  }

  /// Bytes in use.
  var used: Int { taken.load(ordering: .relaxed) }
  func take(_ count: Int) -> Bool {
    let (_, used) = taken.add(count, ordering: .relaxed)
    if used <= limit { return true }
    taken.subtract(count, ordering: .relaxed)
    return false
  }

  func borrow(_ count: Int) -> Bool {
    let (_, used) = taken.add(count, ordering: .relaxed)
    if used <= limit + loans { return true }
    taken.subtract(count, ordering: .relaxed)
    return false
  }

  func giveBack(_ count: Int) {
    taken.subtract(count, ordering: .relaxed)
  }
}
