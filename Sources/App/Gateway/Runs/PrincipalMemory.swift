import Streams
import Synchronization

/// What the runs of one principal hold of the memory that all runs share, on all loops.
///
/// Asked for each segment of a log, not for each event.
final class PrincipalMemory: ByteBudget {
  let principal: Digest
  private let memories: PrincipalMemories
  private let all: RunBudget
  private let rule: MemoryShare
  private let taken = Atomic<Int>(0)
  /// What this object counts for itself.
  private let ownSize: Int

  fileprivate init(of principal: Digest, among memories: PrincipalMemories) {
    self.principal = principal
    self.memories = memories
    all = memories.budget
    rule = memories.rule
    ownSize = all.take(Self.size) ? Self.size : 0
    // Counted here too: who holds less than all there is has others beside it.
    taken.store(ownSize, ordering: .relaxed)
  }

  deinit {
    all.giveBack(ownSize)
    memories.forget(principal)
  }

  /// The object, its side table of weak references and its entries in tables.
  private static let size = 320

  var used: Int { taken.load(ordering: .relaxed) }
  /// Whether others need what it holds.
  var isCrowding: Bool { rule.isCrowding(own: used, all: all.used) }
  /// Whether runs that are over should make room for its own.
  var wantsRoom: Bool { rule.isTight(all: all.used) || isCrowding }
  /// Whether one more run is kept.
  var admitsRun: Bool { rule.admitsRun(own: used, all: all.used) }

  func take(_ count: Int) -> Bool { !isCrowding && add(count) }

  func takeBeyondShare(_ count: Int) -> Bool {
    rule.maySwap(count, own: used, all: all.used) && add(count)
  }

  func borrow(_ count: Int) -> Bool {
    guard all.borrow(count) else { return false }
    note(count)
    return true
  }

  private func add(_ count: Int) -> Bool {
    guard all.take(count) else { return false }
    note(count)
    return true
  }

  private func note(_ count: Int) {
    let (before, after) = taken.add(count, ordering: .relaxed)
    if before < memories.noted, after >= memories.noted { memories.noteLarge(self) }
  }

  func giveBack(_ count: Int) {
    all.giveBack(count)
    let (before, after) = taken.subtract(count, ordering: .relaxed)
    if before >= memories.noted, after < memories.noted { memories.noteLarge(self) }
  }
}

/// The memory of all principals that have runs.
final class PrincipalMemories: Sendable {
  private struct Weak {
    weak var memory: PrincipalMemory?
  }

  private struct Table {
    var memories: [Digest: Weak] = [:]
    /// Those that hold `noted` bytes or more: a few hundred at most.
    var large: Set<Digest> = []
  }

  let budget: RunBudget
  let rule: MemoryShare
  /// Bytes from which on a principal is looked at when memory is short.
  let noted: Int
  private let table = Mutex(Table())

  init(_ budget: RunBudget, percent: Int) {
    self.budget = budget
    rule = MemoryShare(limit: budget.limit, percent: percent)
    noted = max(1, rule.share / 8)
  }

  /// The memory of a principal, for as long as somebody holds it.
  func memory(of principal: Digest) -> PrincipalMemory {
    if let known = find(principal) { return known }
    // Made outside of the lock, which its end takes too.
    let made = PrincipalMemory(of: principal, among: self)
    return table.withLock { table in
      if let known = table.memories[principal]?.memory { return known }
      table.memories[principal] = Weak(memory: made)
      return made
    }
  }

  private func find(_ principal: Digest) -> PrincipalMemory? {
    table.withLock { $0.memories[principal]?.memory }
  }

  /// - Returns: what must not be let go inside of the lock.
  @discardableResult
  fileprivate func forget(_ principal: Digest) -> PrincipalMemory? {
    table.withLock { table in
      // Another may have been made meanwhile.
      if let known = table.memories[principal]?.memory { return known }
      table.memories[principal] = nil
      table.large.remove(principal)
      return nil
    }
  }

  fileprivate func noteLarge(_ memory: PrincipalMemory) {
    table.withLock { table in
      if memory.used >= noted { table.large.insert(memory.principal) } else { table.large.remove(memory.principal) }
    }
  }

  private var large: [PrincipalMemory] {
    table.withLock { table in table.large.compactMap { table.memories[$0]?.memory } }
  }

  /// Whether runs that are over should make room, whoever's they are.
  var isTight: Bool { rule.isTight(all: budget.used) }
  /// Whether slow readers of such runs give way.
  var isShort: Bool { rule.isShort(all: budget.used) }

  /// The principals whose runs should make room for those of others.
  var crowding: [PrincipalMemory] { large.filter(\.isCrowding) }
  /// What the largest holds; 0 while none has an eighth of a share.
  var largest: Int { large.reduce(0) { max($0, $1.used) } }
}
