import Streams
import Testing

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
}
