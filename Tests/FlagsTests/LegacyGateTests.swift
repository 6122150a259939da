import Flags
import Testing

struct LegacyGateTests {
  @Test(
    arguments: [
      (1000, 0, 0.01, true), (1000, 10, 0.01, true), (1000, 11, 0.01, false), (1000, 11, 0.02, true),
      (0, 0, 0.01, false), (5, 5, 1, true), (5, 1, 0, false),
    ] as [(Int, Int, Double, Bool)])
  func `few enough streams may stay in legacy`(streams: Int, staying: Int, limit: Double, isMet: Bool) {
    let criterion = LegacyGate(streams: streams, staying: staying).criterion(limit: limit)
    #expect(criterion.isMet == isMet && criterion.code == "max_legacy", "\(criterion.description)")
  }

  @Test func `the gate says how many stay, and how many may`() {
    let text = LegacyGate(streams: 54_321, staying: 1200).criterion(limit: 0.01).description
    #expect(
      text == "1,200 of 54,321 streams in the last 7 days are of clients that stay in legacy (2.2 %, allowed are 1 %)")
  }

  @Test(arguments: [(0, "0"), (12, "12"), (123, "123"), (1234, "1,234"), (1_234_567, "1,234,567"), (-1234, "-1,234")])
  func `counts are grouped by thousands`(count: Int, text: String) {
    #expect(CountText.grouped(count) == text)
  }

  @Test(
    arguments: [
      (0, "0 %"), (0.0001, "less than 0.1 %"), (0.003, "0.3 %"), (0.01, "1 %"), (0.0221, "2.2 %"), (0.0999, "10 %"),
      (0.98, "98 %"), (1, "100 %"), (.nan, "? %"),
    ] as [(Double, String)])
  func `shares are told in percent`(share: Double, text: String) {
    #expect(CountText.percent(share) == text)
  }
}
