import EventSamples
import Streams
import Testing
import Time

@Suite struct QuotaTests {
  @Test func `nobody has more than a share, and all together not more than the limit`() {
    var quota = Quota<String>(limit: 3, share: 2)
    #expect(quota.take(for: "a") && quota.take(for: "a") && !quota.take(for: "a"))
    #expect(quota.take(for: "b") && !quota.take(for: "b") && !quota.take(for: "c"))
    #expect(quota.count == 3 && quota.held(by: "a") == 2)
    quota.giveBack(for: "a")
    #expect(quota.take(for: "c") && quota.count == 3)
    quota.giveBack(for: "nobody")
    #expect(quota.count == 3)
  }

  @Test func `a holder exceeds its share only while enough is left for those with less`() {
    var quota = Quota<String>(limit: 8, share: 2, loan: 6)
    func take(_ holder: String) -> Bool { quota.take(for: holder) }
    for _ in 0..<6 { #expect(take("a")) }
    #expect(!take("a") && quota.largest == 6)
    #expect(take("b") && take("b") && !take("c"))
    quota.giveBack(for: "a")
    #expect(quota.largest == 5 && !take("a") && !take("b") && take("c"))
  }

  @Test func `the most that one has is known without a look at all`() {
    var quota = Quota<Int>(limit: 1000, share: 1000)
    var held: [Int: Int] = [:]
    var generator = SeededGenerator(seed: 7)
    for _ in 0..<3000 {
      let holder = Int(generator.next() % 7)
      if generator.next() % 5 < 3 {
        if quota.take(for: holder) { held[holder, default: 0] += 1 }
      } else if held[holder, default: 0] > 0 {
        quota.giveBack(for: holder)
        held[holder, default: 0] -= 1
      }
      #expect(quota.largest == held.values.max() ?? 0 && quota.count == held.values.reduce(0, +))
    }
  }

  private static func time(_ seconds: UInt64) -> MonotonicTime { MonotonicTime(nanoseconds: seconds * 1_000_000_000) }

  @Test func `what outlives its use counts until its time has come`() {
    var quota = TimedQuota(Quota<String>(limit: 3, share: 2))
    func take(_ holder: String, at seconds: UInt64) -> Bool { quota.take(for: holder, at: Self.time(seconds)) }
    #expect(take("a", at: 1) && take("a", at: 1))
    quota.giveBack(for: "a", at: Self.time(100))
    quota.giveBack(for: "a", at: Self.time(105))
    #expect(!take("a", at: 99) && quota.count == 2)
    #expect(take("b", at: 99))
    #expect(take("a", at: 116) && quota.count == 2)
    quota.giveBack(for: "b")
    #expect(quota.count == 1 && quota.largest == 1)
  }

  @Test func `what is due is given back a part at a time`() {
    var quota = TimedQuota(Quota<Int>(limit: 10_000, share: 10_000))
    func take(_ holder: Int, at seconds: UInt64) -> Bool { quota.take(for: holder, at: Self.time(seconds)) }
    for number in 0..<10_000 { #expect(take(number % 3, at: 0)) }
    #expect(!take(9, at: 0))
    for number in 0..<10_000 { quota.giveBack(for: number % 3, at: Self.time(UInt64(number))) }
    #expect(take(9, at: 20_000) && quota.count == 10_000 - 64 + 1)
    quota.giveBackDue(at: Self.time(20_000), atMost: .max)
    #expect(quota.count == 1)
  }

  @Test(arguments: [
    // own, all, whether it holds what others need, whether one more run of its is kept
    (0, 0, false, true), (600, 700, false, true), (600, 760, true, false), (500, 930, false, true),
    (760, 760, false, true), (930, 930, false, true), (940, 940, true, false), (100, 940, false, true),
    (100, 970, false, true), (100, 990, false, false), (600, 940, true, false),
  ])
  func `beyond its share a principal leaves a quarter of the memory to others, and alone a sixteenth`(
    _ own: Int, _ all: Int, _ isCrowding: Bool, _ isAdmitted: Bool
  ) {
    // In thousands of bytes.
    let rule = MemoryShare(limit: 1_000_000, percent: 50)
    let (own, all) = (own * 1000, all * 1000)
    #expect(rule.share == 500_000)
    #expect(rule.isCrowding(own: own, all: all) == isCrowding)
    #expect(rule.admitsRun(own: own, all: all) == isAdmitted)
    // What is left to others in any case.
    #expect(rule.maySwap(10_000, own: own, all: all) == (own <= 500_000 || all <= 958_750))
  }
}
