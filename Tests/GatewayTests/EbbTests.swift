import Gateway
import Testing
import Time

struct EbbTests {
  /// When memory is given back, in seconds, of counts that are looked at once a second.
  private func times(_ counts: [Int]) -> [Int] {
    var ebb = Ebb()
    return counts.indices.filter { ebb.isDue(counts[$0], at: MonotonicTime(nanoseconds: UInt64($0) * 1_000_000_000)) }
  }

  @Test func `memory is given back once, when few were left for ten seconds`() {
    #expect(times([0, 100, 400, 390, 200] + Array(repeating: 3, count: 60)) == [14])
    #expect(times([400] + Array(repeating: 0, count: 30)) == [11])
  }

  @Test func `a burst that comes again keeps its memory`() {
    #expect(times((0..<120).map { $0 % 8 == 0 ? 1000 : 0 }).isEmpty)
  }

  @Test func `each ebb that follows a new burst counts`() {
    let burst = [1000] + Array(repeating: 0, count: 20)
    #expect(times(burst + burst) == [11, 32])
  }

  @Test func `what halves again and again is followed down`() {
    let falling = [1000, 500, 250, 125, 62].flatMap { Array(repeating: $0, count: 20) }
    // At 500, at 250 and at 125; what is left then is too little.
    #expect(times(falling) == [30, 50, 70])
  }

  @Test func `few clients, and many that stay, are left alone`() {
    #expect(times([249] + Array(repeating: 0, count: 60)).isEmpty)
    #expect(times([10_000] + Array(repeating: 5001, count: 60)).isEmpty)
  }
}
