import Time

/// The order in which a route's upstreams are tried.
package enum UpstreamOrder {
  package struct Candidate: Sendable {
    /// The upstream's index.
    package var upstream: Int
    /// Lower ones are tried first.
    package var tier: Int
    /// Its share within its tier, at least 1.
    package var weight: Int
    /// Requests that it works on now.
    package var busy: Int
    package var health: UpstreamHealth.State

    package init(upstream: Int, tier: Int, weight: Int, busy: Int, health: UpstreamHealth.State) {
      self.upstream = upstream
      self.tier = tier
      self.weight = weight
      self.busy = busy
      self.health = health
    }
  }

  /// Tiers ascending; in a tier the least busy for its weight first, those equally busy by weighted chance. Whoever is
  /// not available is left out; if nobody is left, the one that comes back first is tried.
  ///
  /// - Parameter random: new bits for every call.
  package static func choose(_ candidates: [Candidate], random: UInt64) -> [Int] {
    if candidates.count == 1 { return [candidates[0].upstream] }
    var rest = candidates.filter(\.health.isAvailable)
    guard !rest.isEmpty else { return candidates.min(by: comesBackFirst).map { [$0.upstream] } ?? [] }
    var chance = Chance(state: random)
    var order: [Int] = []
    order.reserveCapacity(rest.count)
    while let best = rest.min(by: isBetter) {
      let place = pick(equalTo: best, in: rest, &chance)
      order.append(rest[place].upstream)
      rest.remove(at: place)
    }
    return order
  }

  private static func isBetter(_ left: Candidate, _ right: Candidate) -> Bool {
    left.tier == right.tier ? left.load < right.load : left.tier < right.tier
  }

  /// One of those that are neither better nor worse than `best`, by weight.
  private static func pick(equalTo best: Candidate, in rest: [Candidate], _ chance: inout Chance) -> Int {
    func isEqual(_ other: Candidate) -> Bool { other.tier == best.tier && other.load == best.load }
    let total = rest.reduce(0) { isEqual($1) ? $0 + $1.share : $0 }
    var left = chance.next() * total
    var last = 0
    for (place, candidate) in rest.enumerated() where isEqual(candidate) {
      last = place
      left -= candidate.share
      if left < 0 { break }
    }
    return last
  }

  private static func comesBackFirst(_ left: Candidate, _ right: Candidate) -> Bool {
    switch (left.health.comesBack, right.health.comesBack) {
    case (let one?, let other?): one == other ? left.tier < right.tier : one < other
    case (_?, nil): true
    case (nil, _?): false
    case (nil, nil): left.tier < right.tier
    }
  }

  /// A row of numbers from 0 up to 1 (SplitMix64).
  private struct Chance {
    var state: UInt64

    mutating func next() -> Double {
      state &+= 0x9E37_79B9_7F4A_7C15
      var bits = state
      bits = (bits ^ bits >> 30) &* 0xBF58_476D_1CE4_E5B9
      bits = (bits ^ bits >> 27) &* 0x94D0_49BB_1331_11EB
      return Double((bits ^ bits >> 31) >> 11) * 0x1p-53
    }
  }
}

extension UpstreamOrder.Candidate {
  /// What it gets of its tier's requests.
  fileprivate var share: Double {
    guard case .available(let factor) = health else { return 0 }
    return Double(max(1, weight)) * factor
  }

  fileprivate var load: Double { Double(max(0, busy)) / share }
}

extension UpstreamHealth.State {
  /// When it is available again; `nil` when that can't be told.
  fileprivate var comesBack: MonotonicTime? {
    switch self {
    case .coolingDown(let time), .ejected(let time): time
    case .available, .unhealthy: nil
    }
  }
}
