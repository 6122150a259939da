package import Time

/// Who is served, and how: streams by product, version, route, capability and mode, over the last days.
///
/// Bounded: at most `rowLimit` rows, chosen by space-saving counts (Metwally and others, 2005). When all are taken, a
/// new key takes the place of the row that weighs least, and of these of the one that was seen longest ago; what that
/// row had counted goes to `others`. A key with more than 1/500 of all streams keeps its row, however many others come.
package struct Census: Sendable {
  package static let rowLimit = 500
  /// Days that are kept, today included.
  package static let dayLimit = 7

  package private(set) var rows: [CensusRow] = []
  /// What was counted for keys that have no row: one for each mode, of capable clients and of others.
  package private(set) var others: [CensusKey: CensusRow] = [:]
  private var places: [CensusKey: Int] = [:]
  /// The place that was looked for last: many streams in a row have the same key.
  private var lastPlace = 0
  /// Of each row; apart from them, so that a look for the least reads 4 KiB.
  private var weights: [Int] = []

  package init() {}

  package var isEmpty: Bool { rows.isEmpty && others.isEmpty }

  // MARK: - Counting

  package mutating func count(_ key: CensusKey, _ end: CensusEnd, at now: WallTime) {
    let place = place(of: key, at: now)
    rows[place].lastSeen = max(rows[place].lastSeen, now)
    let day = rows[place].place(ofDay: now.day)
    rows[place].days[day].counts.add(end, mode: key.mode)
    weights[place] += 1
  }

  /// A stream that was counted before was read on after its client had left.
  ///
  /// - Parameter events: events that came.
  package mutating func countTail(_ key: CensusKey, events: Int, at now: WallTime) {
    // The stream itself may have been handed over already. It takes no other's place.
    guard places[key] != nil || rows.count < Self.rowLimit else {
      var row = others[key.other] ?? CensusRow(key: key.other, lastSeen: now)
      row.days[row.place(ofDay: now.day)].counts.addTail(events: events)
      others[key.other] = row
      return
    }
    let place = place(of: key, at: now)
    rows[place].days[rows[place].place(ofDay: now.day)].counts.addTail(events: events)
  }

  /// Adds what another census has counted.
  package mutating func add(_ census: Census) {
    for row in census.rows {
      if places[row.key] == nil, row.weight == 0 {
        addToOthers(row)
        continue
      }
      let place = place(of: row.key, at: row.lastSeen)
      rows[place].add(row)
      weights[place] = rows[place].weight
    }
    for row in census.others.values { addToOthers(row) }
  }

  /// Takes a place that is kept with its counts, for instance from a file.
  mutating func restore(_ row: CensusRow, isOther: Bool) {
    if isOther { return addToOthers(row) }
    var census = Census()
    census.rows = [row]
    add(census)
  }

  private mutating func place(of key: CensusKey, at now: WallTime) -> Int {
    if lastPlace < rows.count, rows[lastPlace].key == key { return lastPlace }
    if let place = places[key] {
      lastPlace = place
      return place
    }
    if rows.count < Self.rowLimit {
      rows.append(CensusRow(key: key, lastSeen: now))
      weights.append(0)
      places[key] = rows.count - 1
      return rows.count - 1
    }
    let place = leastPlace
    let old = rows[place]
    places[old.key] = nil
    addToOthers(old)
    rows[place] = CensusRow(key: key, lastSeen: now, days: [CensusRow.Day(number: now.day, credit: weights[place])])
    places[key] = place
    return place
  }

  private var leastPlace: Int {
    var least = 0
    for place in 1..<weights.count where weights[place] <= weights[least] {
      if weights[place] < weights[least] || rows[place].lastSeen < rows[least].lastSeen { least = place }
    }
    return least
  }

  private mutating func addToOthers(_ row: CensusRow) {
    var kept = CensusRow(key: row.key.other, lastSeen: row.lastSeen, days: row.days)
    for place in kept.days.indices { kept.days[place].credit = 0 }
    kept.days.removeAll { $0.counts == CensusCounts() }
    if let old = others[kept.key] { kept.add(old) }
    others[kept.key] = kept
  }

  // MARK: - Days

  /// Drops what is older than the days that are kept, and what a clock that was wrong has put into the future.
  package mutating func forget(at now: WallTime) {
    let kept = now.day - Self.dayLimit + 1...now.day + 1
    func isOld(_ row: CensusRow) -> Bool { row.days.contains { !kept.contains($0.number) } }
    guard rows.contains(where: isOld) || others.values.contains(where: isOld) else { return }
    let old = (rows: rows, others: others)
    self = Census()
    for var row in old.rows {
      row.days.removeAll { !kept.contains($0.number) }
      guard !row.days.isEmpty else { continue }
      places[row.key] = rows.count
      rows.append(row)
      weights.append(row.weight)
    }
    for var row in old.others.values {
      row.days.removeAll { !kept.contains($0.number) }
      if !row.days.isEmpty { others[row.key] = row }
    }
  }

  // MARK: - Sums

  /// Streams in `mode`, with a row of their own or without.
  package func streams(in mode: Mode) -> Int {
    sum { $0.mode == mode }
  }

  /// Streams of clients that will be in legacy whatever the flag says: they do not understand `stream_end`.
  package var streamsThatStayLegacy: Int { sum { $0.mode == .legacy && !$0.isCapable } }

  private func sum(where holds: (CensusKey) -> Bool) -> Int {
    var sum = 0
    for row in rows where holds(row.key) { sum += row.streams }
    for row in others.values where holds(row.key) { sum += row.streams }
    return sum
  }
}
