import Streams
import Synchronization
import Testing

/// What a log does when the memory of all logs is used up.
@Suite struct SharedMemoryTests {
  private let text = "data: \(String(repeating: "x", count: 990))\n\n"

  @Test func `a run goes on without its oldest events, and whoever has kept up loses nothing`() {
    let budget = CountingBudget(200 << 10)
    let log = MemoryLog(of: Play.stream, budget: budget)
    var position = log.start
    for number in 1...2000 {
      #expect(log.append(SeenEntry(event: UInt64(number), text)) == .kept)
      let (seen, next) = log.entries(from: position)
      #expect(seen.map(\.metadata.number) == [UInt64(number)])
      position = next ?? .beginning
    }
    #expect(budget.most <= 200 << 10)
    #expect(log.oldest ?? 0 > 1000)
    #expect(log.position(after: 1) == .evicted(oldest: log.oldest))
  }

  @Test func `a small run beside a large one goes on too`() {
    let budget = CountingBudget(100 << 10)
    let large = MemoryLog(of: Play.stream, budget: budget)
    var number: UInt64 = 0
    while budget.taken < 85 << 10 {
      number += 1
      large.append(SeenEntry(event: number, text))
    }
    let small = MemoryLog(of: Play.stream, budget: budget)
    for number in 1...100 { #expect(small.append(SeenEntry(event: UInt64(number), text)) == .kept) }
    #expect(budget.most <= 100 << 10)
  }

  @Test func `what has yet to be stored elsewhere is not dropped: then the log is full`() {
    let log = MemoryLog(of: Play.stream, budget: CountingBudget(100 << 10))
    log.pin = .beginning
    var number: UInt64 = 0
    var result = AppendResult.kept
    while result == .kept, number < 1000 {
      number += 1
      result = log.append(SeenEntry(event: number, text))
    }
    #expect(result == .full(.process) && log.oldest == 1)
  }

  /// One that lends.
  private final class LendingBudget: ByteBudget {
    let limit = 100 << 10
    private let state = Mutex(0)

    var taken: Int { state.withLock { $0 } }
    func take(_ count: Int) -> Bool { add(count, upTo: limit) }
    func borrow(_ count: Int) -> Bool { add(count, upTo: 2 * limit) }
    func giveBack(_ count: Int) { state.withLock { $0 -= count } }

    private func add(_ count: Int, upTo limit: Int) -> Bool {
      state.withLock { taken in
        guard taken + count <= limit else { return false }
        taken += count
        return true
      }
    }
  }

  /// Appends 90 KB, which others' memory leaves no room for.
  private func crowded(_ budget: LendingBudget) -> MemoryLog {
    let log = MemoryLog(of: Play.stream, budget: budget)
    #expect(budget.take(60 << 10))
    for number in 1...90 { log.append(SeenEntry(event: UInt64(number), text)) }
    return log
  }

  @Test func `what comes in one go is whole until readers have had it`() {
    let budget = LendingBudget()
    let log = crowded(budget)
    #expect(log.oldest == 1 && budget.taken > budget.limit && log.isOver)
    let place = log.entries(from: .beginning, atMost: 20).position ?? .beginning
    #expect(log.trim(keeping: place) && log.isOver, "there is more to give back once readers need less")
    #expect(log.read(from: place) { _, _ in false } != nil)
    #expect(!log.trim(keeping: log.frontier) && !log.isOver)
    #expect(budget.taken <= budget.limit, "\(budget.taken)")
    #expect(log.last == 90 && log.append(SeenEntry(event: 91, text)) == .kept)
    log.retire()
    #expect(budget.taken == 60 << 10)
  }

  @Test func `what was borrowed is kept when others have made room`() {
    let budget = LendingBudget()
    let log = crowded(budget)
    budget.giveBack(60 << 10)
    #expect(!log.trim(keeping: log.frontier) && log.oldest == 1)
  }

  @Test func `what is not stored elsewhere yet is waited for`() {
    let budget = LendingBudget()
    let log = crowded(budget)
    log.pin = .beginning
    #expect(log.trim(keeping: log.frontier) && log.oldest == 1)
    log.pin = log.frontier
    #expect(!log.trim(keeping: log.frontier) && log.oldest ?? 0 > 1)
  }

  @Test func `what is held beside the entries is counted until the log is given up`() {
    let budget = CountingBudget(10_000)
    let log = MemoryLog(of: Play.stream, budget: budget)
    log.charge(3000)
    #expect(budget.taken == 3000 && log.bytes == 0)
    log.charge(8000)
    #expect(budget.taken == 3000, "what does not fit is not taken")
    log.retire()
    #expect(budget.taken == 0)
  }

  /// The memory of one who has more than a share.
  private final class CrowdedBudget: ByteBudget {
    let memory = CountingBudget(1 << 20)
    func take(_ count: Int) -> Bool { false }
    func takeBeyondShare(_ count: Int) -> Bool { memory.take(count) }
    func giveBack(_ count: Int) { memory.giveBack(count) }
  }

  @Test(arguments: [1, 50, 5000])
  func `a run of one who has more than a share goes on, and holds little more than it had`(_ events: Int) {
    let budget = CrowdedBudget()
    let log = MemoryLog(of: Play.stream, budget: budget)
    for number in 1...events { #expect(log.append(SeenEntry(event: UInt64(number), text)) == .kept) }
    #expect(log.last == UInt64(events) && budget.memory.most <= 8 << 10, "\(budget.memory.most)")
    log.retire()
    #expect(budget.memory.taken == 0)
  }
}
