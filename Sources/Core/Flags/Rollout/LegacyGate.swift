/// Whether so few clients will stay in legacy that a rollout may be finished. The numbers come from the census of all
/// gateways that were asked.
package struct LegacyGate: Equatable, Sendable {
  /// The share of streams that may stay, unless somebody says another.
  package static let defaultLimit = 0.01
  package static let code = "max_legacy"

  /// All streams of the last days.
  package var streams: Int
  /// Those of clients that do not understand `stream_end`, and were in legacy.
  package var staying: Int

  package init(streams: Int, staying: Int) {
    self.streams = streams
    self.staying = staying
  }

  package var share: Double { streams > 0 ? Double(staying) / Double(streams) : 0 }

  /// - Parameter limit: the share that may stay, from 0 to 1.
  package func criterion(limit: Double) -> RolloutCriterion {
    guard streams > 0 else {
      return RolloutCriterion(
        code: Self.code, isMet: false, description: "the gateway has counted no streams in the last 7 days",
        nextAction: "wait for traffic")
    }
    return RolloutCriterion(
      code: Self.code, isMet: share <= limit,
      description: "\(CountText.grouped(staying)) of \(CountText.grouped(streams)) streams in the last 7 days are of "
        + "clients that stay in legacy (\(CountText.percent(share)), allowed are \(CountText.percent(limit)))",
      nextAction:
        "fermata flags rollout clients --mode legacy --admin URL shows whom to update; --max-legacy PERCENT allows more"
    )
  }
}

/// Numbers for people.
package enum CountText {
  /// `1,234,567`.
  package static func grouped(_ count: Int) -> String {
    let digits = String(count.magnitude)
    var text = ""
    for (index, digit) in digits.enumerated() {
      if index > 0, (digits.utf8.count - index).isMultiple(of: 3) { text += "," }
      text.append(digit)
    }
    return count < 0 ? "-\(text)" : text
  }

  /// A share in percent, with one decimal below 10 % and at least that much where it is not zero: `0.3 %`, `98 %`.
  package static func percent(_ share: Double) -> String {
    guard share.isFinite else { return "? %" }
    let tenths = min(max((share * 1000).rounded(), -1e12), 1e12)
    if share > 0, tenths < 1 { return "less than 0.1 %" }
    let value = Int(tenths)
    if value >= 100 || value.isMultiple(of: 10) { return "\(grouped(Int((tenths / 10).rounded()))) %" }
    return "\(value / 10).\(value % 10) %"
  }
}
