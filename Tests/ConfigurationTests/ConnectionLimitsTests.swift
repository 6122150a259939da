import Configuration
import Testing

@Suite struct ConnectionLimitsTests {
  @Test(arguments: [
    (descriptors: 1000, clients: 0, upstreams: 0, loops: 1, expected: (400, 500)),
    (1000, 0, 0, 2, (200, 250)), (1000, 10, 0, 1, (10, 890)), (1000, 10, 20, 1, (10, 20)),
    (64, 0, 0, 4, (4, 4)), (1000, 1, 1, 8, (1, 1)), (1000, 1_000_000, 0, 1, (884, 16)),
    (1000, 900, 1_000_000, 1, (884, 16)),
  ])
  func `clients and backends share the descriptors`(
    descriptors: Int, clients: Int, upstreams: Int, loops: Int, expected: (Int, Int)
  ) {
    let limits = ConnectionLimits(descriptors: descriptors, clients: clients, upstreams: upstreams, loops: loops)
    #expect(limits.clients == expected.0 && limits.upstreams == expected.1)
  }

  @Test(arguments: [1, 2, 3, 4, 8, 16, 32, 64, 128], [1, 2, 5])
  func `operators have descriptors left, however few there are and whatever is configured`(
    loops: Int, listeners: Int
  ) {
    let least = ConnectionLimits.least(loops: loops, listeners: listeners)
    // What a process has open by itself, and a scrape, a probe and a page.
    let others = 22 + loops * (5 + 2 * listeners) + 16
    for descriptors in [least, least + 1, least + 50, 2 * least, 10 * least, 262_144] {
      for (clients, upstreams) in [(0, 0), (1_000_000, 0), (0, 1_000_000), (1_000_000, 1_000_000), (10, 0), (1, 1)] {
        let limits = ConnectionLimits(
          descriptors: descriptors, clients: clients, upstreams: upstreams, loops: loops, listeners: listeners)
        let all = (limits.clients + limits.upstreams + limits.refused) * loops + others
        #expect(all <= descriptors, "\(descriptors): \(limits)")
        #expect(limits.clients >= 1 && limits.upstreams >= 1 && limits.refused >= 1)
      }
    }
  }
}
