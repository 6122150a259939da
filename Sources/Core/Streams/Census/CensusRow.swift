package import Time

/// Whose streams a row of the census counts.
package struct CensusKey: Hashable, Sendable {
  package let product: ClientProduct
  package let route: String
  package let source: Capability.Source
  /// Whether the client understands `stream_end`, as far as `source` tells.
  package let isCapable: Bool
  package let mode: Mode

  package init(product: ClientProduct, route: String, capability: Capability, mode: Mode) {
    self.product = product
    self.route = route
    source = capability.source
    isCapable = capability.understandsStreamEnd
    self.mode = mode
  }

  /// The same client on whichever route, however its capability was found.
  var client: CensusKey {
    CensusKey(
      product: product, route: "", capability: Capability(understandsStreamEnd: isCapable, source: .none), mode: mode)
  }

  /// The row that takes in what was counted for this key once it has lost its own. What a rollout goes by is kept.
  var other: CensusKey {
    CensusKey(
      product: .other, route: "", capability: Capability(understandsStreamEnd: isCapable, source: .none), mode: mode)
  }
}

/// How one stream ended, for the census.
package struct CensusEnd: Sendable {
  /// A hash of the client's identity; `nil` for a client without one.
  package var identity: UInt64?
  package var isCompleted: Bool
  /// The client closed at the completion event, before its stream had ended.
  package var leftAtCompletion: Bool

  package init(identity: UInt64? = nil, isCompleted: Bool = false, leftAtCompletion: Bool = false) {
    self.identity = identity
    self.isCompleted = isCompleted
    self.leftAtCompletion = leftAtCompletion
  }
}

/// What is counted of the streams of one row.
package struct CensusCounts: Equatable, Sendable {
  /// The most that a number read from a file may be: sums of many of them still fit.
  package static let limit = 1 << 48

  package var streams = 0
  package var completed = 0
  package var leftAtCompletion = 0
  /// Clients that were to get `stream_end`, and closed at the completion event all the same.
  package var hungUpBeforeStreamEnd = 0
  /// Streams that were read on after their client had left.
  package var tailsRead = 0
  /// Of these, streams in which more events came.
  package var tailsLost = 0
  /// Those events.
  package var eventsAfterLeaving = 0
  package var identities = HyperLogLog()

  package init() {}

  mutating func add(_ end: CensusEnd, mode: Mode) {
    streams += 1
    if end.isCompleted { completed += 1 }
    if end.leftAtCompletion {
      leftAtCompletion += 1
      if mode == .graceful { hungUpBeforeStreamEnd += 1 }
    }
    if let identity = end.identity { identities.insert(identity) }
  }

  mutating func addTail(events: Int) {
    tailsRead += 1
    if events > 0 { tailsLost += 1 }
    eventsAfterLeaving += max(0, events)
  }

  package mutating func add(_ other: CensusCounts) {
    numbers = zip(numbers, other.numbers).map(+)
    identities.formUnion(other.identities)
  }

  /// All but the identities, in the order of the state file.
  var numbers: [Int] {
    get { [streams, completed, leftAtCompletion, hungUpBeforeStreamEnd, tailsRead, tailsLost, eventsAfterLeaving] }
    set {
      (streams, completed, leftAtCompletion, hungUpBeforeStreamEnd) = (
        newValue[0], newValue[1], newValue[2], newValue[3]
      )
      (tailsRead, tailsLost, eventsAfterLeaving) = (newValue[4], newValue[5], newValue[6])
    }
  }
}

/// One row of the census: what was counted for one key, by day.
package struct CensusRow: Sendable {
  package struct Day: Equatable, Sendable {
    /// Days since 1970-01-01, UTC.
    package var number: Int
    /// Streams of the row whose place this one took. They weigh as if they were its own (space-saving counts), so that
    /// one that comes often enough gets a place for good, and are not shown.
    var credit = 0
    package var counts = CensusCounts()
  }

  package let key: CensusKey
  package internal(set) var lastSeen: WallTime
  /// The oldest first.
  package internal(set) var days: [Day] = []

  init(key: CensusKey, lastSeen: WallTime, days: [Day] = []) {
    self.key = key
    self.lastSeen = lastSeen
    self.days = days
  }

  /// All days together.
  package var counts: CensusCounts {
    var sum = CensusCounts()
    for day in days { sum.add(day.counts) }
    return sum
  }

  /// Streams of all days.
  package var streams: Int { days.reduce(0) { $0 + $1.counts.streams } }

  var weight: Int { days.reduce(0) { $0 + $1.counts.streams + $1.credit } }

  /// The place of a day, which is made if it is missing.
  mutating func place(ofDay number: Int) -> Int {
    // Clocks may be set back: a day before the last one is looked for too.
    if let place = days.lastIndex(where: { $0.number <= number }) {
      if days[place].number == number { return place }
      days.insert(Day(number: number), at: place + 1)
      return place + 1
    }
    days.insert(Day(number: number), at: 0)
    return 0
  }

  mutating func add(_ other: CensusRow) {
    for day in other.days {
      let place = place(ofDay: day.number)
      days[place].credit += day.credit
      days[place].counts.add(day.counts)
    }
    lastSeen = max(lastSeen, other.lastSeen)
  }
}

extension WallTime {
  /// Days since 1970-01-01, UTC.
  package var day: Int { Int(milliseconds / 86_400_000) }
}
