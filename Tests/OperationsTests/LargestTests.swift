import EventSamples
import Operations
import Testing

@Suite struct LargestTests {
  @Test(arguments: [0, 1, 2, 3, 4, 9, 1000])
  func `the largest of many are those that a full sort puts first`(count: Int) {
    var numbers = SeededGenerator(seed: UInt64(count))
    let all = (0..<count).map { _ in Double.random(in: -1...1, using: &numbers) }
    var largest = Largest<Double>(limit: 3)
    for number in all { largest.add(number, rank: number) }
    #expect(largest.offered == count)
    #expect(largest.sorted() == Array(all.sorted(by: >).prefix(3)))
  }

  @Test func `of equals as many as are wanted are found`() {
    var largest = Largest<Int>(limit: 3)
    for number in 0..<100 { largest.add(number, rank: 0) }
    #expect(largest.sorted().count == 3)
  }
}
