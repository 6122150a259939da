import EventSamples
import Streams
import Testing
import Time

struct UpstreamOrderTests {
  private func candidate(
    _ upstream: Int, tier: Int = 0, weight: Int = 1, busy: Int = 0,
    _ health: UpstreamHealth.State = .available(weightFactor: 1)
  ) -> UpstreamOrder.Candidate {
    UpstreamOrder.Candidate(upstream: upstream, tier: tier, weight: weight, busy: busy, health: health)
  }

  /// How often each one is first in `count` choices.
  private func shares(_ candidates: [UpstreamOrder.Candidate], count: Int = 20_000) -> [Int: Double] {
    var random = SeededGenerator(seed: 1)
    var first: [Int: Double] = [:]
    for _ in 0..<count {
      let order = UpstreamOrder.choose(candidates, random: random.next())
      first[order[0], default: 0] += 1 / Double(count)
    }
    return first
  }

  @Test func `tiers come in their order, however busy they are`() {
    let candidates = [
      candidate(4, tier: 2), candidate(1, tier: 0, busy: 90), candidate(2, tier: 1, busy: 50),
      candidate(3, tier: 1, weight: 100, busy: 70),
    ]
    for random in 0..<100 { #expect(UpstreamOrder.choose(candidates, random: UInt64(random)) == [1, 3, 2, 4]) }
  }

  @Test func `in a tier the least busy for its weight is first`() {
    let candidates = [
      candidate(1, weight: 1, busy: 3), candidate(2, weight: 2, busy: 5), candidate(3, weight: 4, busy: 8),
    ]
    #expect(UpstreamOrder.choose(candidates, random: 5) == [3, 2, 1])
  }

  @Test func `those equally busy share by weight`() {
    let shares = shares([candidate(1, weight: 1), candidate(2, weight: 3), candidate(3, weight: 6)])
    for (upstream, expected) in [(1, 0.1), (2, 0.3), (3, 0.6)] {
      #expect(abs(shares[upstream, default: 0] - expected) < 0.015, "\(upstream)")
    }
  }

  @Test func `one that starts slowly has the part of its weight`() {
    let shares = shares([candidate(1), candidate(2, .available(weightFactor: 0.25))])
    #expect(abs(shares[2, default: 0] - 0.2) < 0.015)
    let busy = UpstreamOrder.choose(
      [candidate(1, busy: 3), candidate(2, busy: 1, .available(weightFactor: 0.25))], random: 1)
    #expect(busy == [1, 2])
  }

  @Test func `requests that last are spread by weight`() {
    var busy = [0, 0, 0]
    var random = SeededGenerator(seed: 3)
    for _ in 0..<1000 {
      let candidates = [1, 3, 6].enumerated().map { candidate($0, weight: $1, busy: busy[$0]) }
      busy[UpstreamOrder.choose(candidates, random: random.next())[0]] += 1
    }
    #expect(abs(busy[0] - 100) <= 2 && abs(busy[1] - 300) <= 2 && abs(busy[2] - 600) <= 2, "\(busy)")
  }

  @Test func `every one that is available is in the order once`() {
    var random = SeededGenerator(seed: 7)
    for _ in 0..<500 {
      let candidates = (0..<1 + random.below(8)).map {
        candidate($0, tier: random.below(3), weight: 1 + random.below(5), busy: random.below(3))
      }
      let order = UpstreamOrder.choose(candidates, random: random.next())
      #expect(order.sorted() == candidates.map(\.upstream))
      #expect(zip(order, order.dropFirst()).allSatisfy { candidates[$0].tier <= candidates[$1].tier })
    }
  }

  @Test func `who is out is left out`() {
    let candidates = [
      candidate(1, .ejected(until: at(5))), candidate(2, tier: 3), candidate(3, .unhealthy),
      candidate(4, tier: 1, .coolingDown(until: at(1))),
    ]
    #expect(UpstreamOrder.choose(candidates, random: 0) == [2])
  }

  @Test func `when nobody is left the one that comes back first is tried`() {
    let candidates = [
      candidate(1, .ejected(until: at(5))), candidate(2, .coolingDown(until: at(3))), candidate(3, .unhealthy),
      candidate(4, .ejected(until: at(4))),
    ]
    #expect(UpstreamOrder.choose(candidates, random: 0) == [2])
    #expect(UpstreamOrder.choose([candidate(1, tier: 1, .unhealthy), candidate(2, .unhealthy)], random: 0) == [2])
    #expect(UpstreamOrder.choose([candidate(9, .unhealthy)], random: 0) == [9])
    #expect(UpstreamOrder.choose([], random: 0) == [])
    let equal = [candidate(1, tier: 1, .ejected(until: at(5))), candidate(2, .ejected(until: at(5)))]
    #expect(UpstreamOrder.choose(equal, random: 0) == [2])
  }

  @Test func `odd weights and counts do no harm`() {
    let order = UpstreamOrder.choose([candidate(1, weight: 0, busy: -1), candidate(2, weight: -5)], random: 9)
    #expect(order.sorted() == [1, 2])
  }
}
