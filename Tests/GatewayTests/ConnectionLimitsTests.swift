import Gateway
import Testing

@Suite struct ConnectionLimitsTests {
  @Test(arguments: [
    (descriptors: 1000, clients: 0, upstreams: 0, loops: 1, expected: (400, 500)),
    (1000, 0, 0, 2, (200, 250)), (1000, 10, 0, 1, (10, 890)), (1000, 10, 20, 1, (10, 20)),
    (64, 0, 0, 4, (4, 4)), (1000, 1, 1, 8, (1, 1)), (100, 1_000_000, 0, 1, (1_000_000, 16)),
  ])
  func `clients and backends share the descriptors`(
    descriptors: Int, clients: Int, upstreams: Int, loops: Int, expected: (Int, Int)
  ) {
    let limits = ConnectionLimits(descriptors: descriptors, clients: clients, upstreams: upstreams, loops: loops)
    #expect(limits.clients == expected.0 && limits.upstreams == expected.1)
  }
}
