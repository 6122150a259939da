import HTTP
import Testing
import Time

struct FrameBudgetTests {
  private let start = MonotonicTime(nanoseconds: 1_000_000_000)

  private func budget(_ limits: FrameBudget.Limits = FrameBudget.Limits()) -> FrameBudget {
    var budget = FrameBudget(limits: limits)
    budget.fill(at: start)
    return budget
  }

  @Test func `a full budget lets a connection go on`() {
    let budget = budget()
    #expect(budget.tokens == 1000)
    #expect(budget.verdict == .goOn)
  }

  @Test func `control frames cost one each, to retiring and to the end`() {
    var budget = budget()
    for _ in 0..<749 { budget.controlFrameCame() }
    #expect(budget.verdict == .goOn)
    budget.controlFrameCame()
    #expect(budget.verdict == .retire)
    for _ in 0..<249 { budget.controlFrameCame() }
    #expect(budget.verdict == .retire)
    budget.controlFrameCame()
    #expect(budget.verdict == .end)
    #expect(budget.tokens == 0)
  }

  @Test func `tokens come back with time, and no more than there is room for`() {
    var budget = budget()
    for _ in 0..<500 { budget.controlFrameCame() }
    budget.fill(at: start + .seconds(1))
    #expect(budget.tokens == 550)
    budget.fill(at: start + .seconds(1) + .milliseconds(20))
    #expect(budget.tokens == 551)
    budget.fill(at: start + .seconds(100_000))
    #expect(budget.tokens == 1000)
  }

  @Test func `parts of a millisecond add up`() {
    var budget = budget()
    for _ in 0..<100 { budget.controlFrameCame() }
    for step in 1...4000 { budget.fill(at: start + Nanoseconds(Int64(step) * 500_000)) }
    #expect(budget.tokens == 1000)
  }

  @Test func `time that goes backwards or far ahead does no harm`() {
    var budget = budget()
    budget.controlFrameCame()
    budget.fill(at: MonotonicTime(nanoseconds: 0))
    #expect(budget.tokens == 999)
    budget.fill(at: MonotonicTime(nanoseconds: .max / 2))
    #expect(budget.tokens == 1000)
  }

  @Test func `an empty budget stays empty`() {
    var budget = budget()
    for _ in 0..<2000 { budget.controlFrameCame() }
    budget.fill(at: start + .seconds(60))
    #expect(budget.verdict == .end)
  }

  @Test func `a reset before the head is sent is expensive`() {
    var budget = budget()
    budget.streamWasReset(.headNotSent, at: start)
    #expect(budget.tokens == 990)
  }

  @Test func `a reset soon after the head, before a byte, is expensive`() {
    var budget = budget()
    budget.streamWasReset(.headSent(start, sentBody: false), at: start + .milliseconds(999))
    #expect(budget.tokens == 990)
  }

  @Test func `a client that leaves a stream which it has read pays nothing`() {
    var budget = budget()
    for second in 0..<1000 {
      budget.streamWasReset(.headSent(start, sentBody: true), at: start)
      budget.streamWasReset(.headSent(start, sentBody: false), at: start + .seconds(1 + second))
    }
    #expect(budget.tokens == 1000)
  }

  @Test func `a thousand EventSource closes in a minute are no attack`() {
    var budget = budget()
    for index in 0..<1000 {
      let now = start + .milliseconds(index * 60)
      budget.fill(at: now)
      budget.streamOpened()
      budget.windowUpdateCame()
      // Every fifth is closed before its first event.
      let opened = now + .milliseconds(-30)
      budget.streamWasReset(.headSent(opened, sentBody: index % 5 != 0), at: now)
      #expect(budget.verdict == .goOn)
    }
  }

  @Test func `a hundred resets of the other side's making end a connection`() {
    var budget = budget()
    for _ in 0..<99 { budget.resetWasForced() }
    #expect(budget.verdict == .retire)
    budget.resetWasForced()
    #expect(budget.verdict == .end)
  }

  @Test func `streams beyond the limit cost little`() {
    var budget = budget()
    for _ in 0..<100 { budget.streamWasRefused() }
    #expect(budget.tokens == 800)
  }

  @Test func `window updates are free as far as there is something to update`() {
    var budget = budget()
    for _ in 0..<10 { budget.windowUpdateCame() }
    #expect(budget.tokens == 1000)
    budget.windowUpdateCame()
    #expect(budget.tokens == 999)
    budget.streamOpened()
    for _ in 0..<2 { budget.windowUpdateCame() }
    #expect(budget.tokens == 999)
    budget.dataWasSent(16_384, isShort: false)
    for _ in 0..<10 { budget.windowUpdateCame() }
    #expect(budget.tokens == 999)
    budget.windowUpdateCame()
    #expect(budget.tokens == 998)
  }

  @Test func `free window updates can't be saved without end`() {
    var budget = budget()
    for _ in 0..<100_000 { budget.dataWasSent(16_384, isShort: false) }
    for _ in 0..<10_000 { budget.windowUpdateCame() }
    #expect(budget.tokens == 1000)
    budget.windowUpdateCame()
    #expect(budget.tokens == 999)
  }

  @Test func `a window that is dribbled costs a token a frame`() {
    var budget = budget()
    budget.dataWasSent(1, isShort: true)
    budget.dataWasSent(255, isShort: true)
    #expect(budget.tokens == 998)
    budget.dataWasSent(256, isShort: true)
    budget.dataWasSent(1, isShort: false)
    #expect(budget.tokens == 998)
  }

  @Test func `limits are the settings'`() {
    var budget = budget(FrameBudget.Limits(tokens: 4, tokensPerSecond: 1, windowUpdatesPerFrame: 0))
    for _ in 0..<3 { budget.controlFrameCame() }
    #expect(budget.verdict == .retire)
    budget.fill(at: start + .seconds(2))
    #expect(budget.tokens == 3)
    budget.dataWasSent(1, isShort: false)
    for _ in 0..<10 { budget.windowUpdateCame() }
    #expect(budget.tokens == 3)
  }
}
