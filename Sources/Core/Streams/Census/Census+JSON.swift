package import JSON
package import Time

/// The state file.
extension Census {
  /// All rows with all their days.
  package var json: JSONValue {
    [
      "rows": .array(rows.map { $0.json() }),
      "others": .array(others.values.sorted { $0.key.mode.rawValue < $1.key.mode.rawValue }.map { $0.json() }),
    ]
  }

  /// Takes over what `json` wrote. A row that is not what it should be is left out: the file may be anybody's.
  package init(restoring json: JSONValue, at now: WallTime) {
    for (name, isOther) in [("rows", false), ("others", true)] {
      for value in (json[name]?.array ?? []).prefix(Self.rowLimit) {
        if let row = CensusRow(value) { restore(row, isOther: isOther) }
      }
    }
    forget(at: now)
  }
}

extension CensusRow {
  func json() -> JSONValue {
    [
      "product": .string(key.product.name), "version": .string(key.product.version), "route": .string(key.route),
      "capability": .string(key.source.rawValue), "understandsStreamEnd": .bool(key.isCapable),
      "mode": .string(key.mode.rawValue), "lastSeen": .string(lastSeen.rfc3339), "days": .array(days.map(\.json)),
    ]
  }

  fileprivate init?(_ json: JSONValue) {
    guard let name = json["product"]?.string, let version = json["version"]?.string,
      let route = json["route"]?.string, route.utf8.count <= 100,
      let source = json["capability"]?.string.flatMap(Capability.Source.init),
      let isCapable = json["understandsStreamEnd"]?.bool, let mode = json["mode"]?.string.flatMap(Mode.init),
      let lastSeen = json["lastSeen"]?.string.flatMap(WallTime.init(rfc3339:)),
      let days = json["days"]?.array, (1...Census.dayLimit + 1).contains(days.count)
    else { return nil }
    let key = CensusKey(
      product: ClientProduct(name: name, version: version), route: route,
      capability: Capability(understandsStreamEnd: isCapable, source: source), mode: mode)
    self.init(key: key, lastSeen: lastSeen)
    for day in days {
      guard let day = Day(day) else { return nil }
      let place = place(ofDay: day.number)
      self.days[place] = day
    }
  }
}

extension CensusRow.Day {
  fileprivate var json: JSONValue {
    [
      "day": JSONValue(number), "credit": JSONValue(credit), "counts": .array(counts.numbers.map { JSONValue($0) }),
      "identities": .string(counts.identities.text),
    ]
  }

  fileprivate init?(_ json: JSONValue) {
    func count(_ value: JSONValue?) -> Int? {
      value?.integer.flatMap { (0...CensusCounts.limit).contains($0) ? $0 : nil }
    }
    guard let number = count(json["day"]), let credit = count(json["credit"]),
      let numbers = json["counts"]?.array?.compactMap({ count($0) }),
      let identities = json["identities"]?.string.flatMap(HyperLogLog.init(text:))
    else { return nil }
    var counts = CensusCounts()
    guard numbers.count == counts.numbers.count else { return nil }
    counts.numbers = numbers
    counts.identities = identities
    self.init(number: number, credit: credit, counts: counts)
  }
}

/// What operators are shown.
extension Census {
  /// - Parameters:
  ///   - readsTails: whether streams are read on after their client has left; what was never looked for is `null`.
  package func report(readsTails: Bool, at now: WallTime) -> JSONValue {
    let rows = rows.sorted(by: CensusRow.isLarger)
    let others = others.values.sorted { $0.key.mode.rawValue < $1.key.mode.rawValue }
    let first = (rows + others).compactMap { $0.days.first?.number }.min()
    let modes = Mode.allCases.map { JSONObject.Member(name: $0.rawValue, value: JSONValue(streams(in: $0))) }
    return [
      "now": .string(now.rfc3339),
      "since": first.map { .string(WallTime(milliseconds: Int64($0) * 86_400_000).rfc3339) } ?? .null,
      "days": JSONValue(Self.dayLimit), "rowLimit": JSONValue(Self.rowLimit), "readsTails": .bool(readsTails),
      "streams": JSONValue(Mode.allCases.reduce(0) { $0 + streams(in: $1) }), "byMode": .object(JSONObject(modes)),
      "staysLegacy": JSONValue(streamsThatStayLegacy),
      "clients": .array(byClient.map { $0.report(isWhole: false) }),
      "rows": .array(rows.map { $0.report(isWhole: true) }),
      "others": .array(others.map { $0.report(isWhole: false) }),
    ]
  }
}

extension Census {
  /// Rows without their routes and sources, the largest first.
  fileprivate var byClient: [CensusRow] {
    var clients: [CensusKey: CensusRow] = [:]
    for row in rows {
      let key = row.key.client
      clients[key, default: CensusRow(key: key, lastSeen: row.lastSeen)].add(row)
    }
    return clients.values.sorted(by: CensusRow.isLarger)
  }
}

extension CensusRow {
  fileprivate static func isLarger(_ left: CensusRow, than right: CensusRow) -> Bool {
    let (mine, its) = (left.streams, right.streams)
    return mine == its ? left.key.product.name < right.key.product.name : mine > its
  }

  /// - Parameter isWhole: whether the row is of one route and one source.
  fileprivate func report(isWhole: Bool) -> JSONValue {
    var object: JSONObject = [
      "product": .string(key.product.name), "version": .string(key.product.version), "mode": .string(key.mode.rawValue),
      "understandsStreamEnd": .bool(key.isCapable),
    ]
    if isWhole {
      object["route"] = .string(key.route)
      object["capability"] = .string(key.source.rawValue)
    }
    for (name, value) in numbers { object[name] = value }
    return .object(object)
  }

  private var numbers: [(String, JSONValue)] {
    let counts = counts
    let isRead = counts.tailsRead > 0
    return [
      ("streams", JSONValue(counts.streams)),
      ("identities", JSONValue(min(counts.identities.estimate, counts.streams))),
      ("lastSeen", .string(lastSeen.rfc3339)), ("completed", JSONValue(counts.completed)),
      ("leftAtCompletion", JSONValue(counts.leftAtCompletion)),
      ("hungUpBeforeStreamEnd", JSONValue(counts.hungUpBeforeStreamEnd)), ("tailsRead", JSONValue(counts.tailsRead)),
      ("tailsLost", isRead ? JSONValue(counts.tailsLost) : .null),
      ("eventsAfterLeaving", isRead ? JSONValue(counts.eventsAfterLeaving) : .null),
    ]
  }
}
