import EventSamples
import Streams
import Testing

/// Random runs, windows and readers.
struct ReplayPropertyTests {
  /// A reader that takes as much as it likes, when it likes.
  private struct PlayedReader {
    var position: LogPosition
    /// The index among all entries of the next one that it must see.
    var next: Int
  }

  @Test(arguments: 0..<24)
  func `every reader sees what follows its place, whole and in order, or is told that it is gone`(_ seed: Int) {
    var random = SeededGenerator(seed: UInt64(seed))
    let budget = CountingBudget(.max)
    let pool = SegmentPool()
    do {
      let window = [Int.max, 2_000, 100_000][random.below(3)]
      let log = MemoryLog(
        of: random.chance(80) ? Play.stream : nil, limits: .init(run: .max, window: window), budget: budget,
        pool: random.chance(50) ? pool : nil)
      var entries: [SeenEntry] = []
      var readers: [PlayedReader] = []
      for _ in 0..<400 {
        let kind: EntryKind = random.below(5) == 0 ? .other : .event
        let size = random.below(20) == 0 ? random.below(100_000) + 1 : random.below(300) + 1
        let metadata = EntryMetadata(
          number: log.last + (kind == .event ? 1 : 0), kind: kind, mark: EventMark(rawValue: UInt8(random.below(8))))
        let entry = SeenEntry(metadata, (0..<size).map { UInt8(truncatingIfNeeded: $0 &+ entries.count) })
        if random.below(10) == 0 { readers.append(PlayedReader(position: log.frontier, next: entries.count)) }
        #expect(log.append(entry) == .kept)
        entries.append(entry)
        play(&readers, log, entries, &random)
        log.trim(keeping: log.frontier)
        #expect(budget.taken == log.bytes)
        #expect(log.bytes <= max(window, 100_064 + (64 << 10)))
      }
      checkLookups(log, entries)
      log.finish(MemoryLogTests.end)
      #expect(budget.taken == log.bytes)
      let kept = log.entries(from: log.start).seen
      #expect(kept == Array(entries.suffix(kept.count)))
    }
    #expect(budget.taken == 0)
  }

  private func play(
    _ readers: inout [PlayedReader], _ log: MemoryLog, _ entries: [SeenEntry], _ random: inout SeededGenerator
  ) {
    for index in readers.indices.reversed() where random.below(4) == 0 {
      let (seen, position) = log.entries(from: readers[index].position, atMost: random.below(50) + 1)
      guard let position else {
        // Gone it is only if it stood before everything that is kept.
        #expect(readers[index].position < log.start)
        readers.remove(at: index)
        continue
      }
      #expect(seen == Array(entries[readers[index].next..<readers[index].next + seen.count]))
      readers[index].next += seen.count
      readers[index].position = position
      #expect((position == log.frontier) == (readers[index].next == entries.count))
    }
  }

  /// Every number leads to what follows it.
  private func checkLookups(_ log: MemoryLog, _ entries: [SeenEntry]) {
    let oldest = log.oldest ?? log.last + 1
    for number in 0...log.last {
      switch log.position(after: number) {
      case .found(let position):
        #expect(number + 1 >= oldest)
        let next = log.entries(from: position, atMost: 20).seen
        #expect(next.first { $0.metadata.kind.isEvent }?.metadata.number ?? log.last + 1 == number + 1)
      case .evicted(let told): #expect(number + 1 < oldest && told == log.oldest)
      case .ahead: Issue.record("\(number) is not ahead")
      }
    }
  }
}
