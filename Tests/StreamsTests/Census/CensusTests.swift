import JSON
import Streams
import Testing
import Time

struct CensusTests {
  private static let start = WallTime(rfc3339: "2026-03-01T12:00:00.000Z") ?? WallTime(milliseconds: 0)
  private static let old = Capability(understandsStreamEnd: false, source: .none)

  private static func key(_ name: String, mode: Mode = .legacy, capability: Capability = old) -> CensusKey {
    CensusKey(product: ClientProduct(name: name, version: "1"), route: "chat", capability: capability, mode: mode)
  }

  private static func later(days: Int, seconds: Int = 0) -> WallTime {
    WallTime(milliseconds: start.milliseconds + Int64(days * 86_400 + seconds) * 1000)
  }

  private func counts(_ census: Census, _ name: String) -> CensusCounts? {
    census.rows.first { $0.key.product.name == name }?.counts
  }

  @Test func `each ending is counted for what it is`() {
    var census = Census()
    let (legacy, graceful) = (Self.key("old"), Self.key("new", mode: .graceful))
    census.count(legacy, CensusEnd(identity: 1, isCompleted: true), at: Self.start)
    census.count(legacy, CensusEnd(identity: 1, isCompleted: true, leftAtCompletion: true), at: Self.start)
    census.count(legacy, CensusEnd(), at: Self.start)
    census.count(graceful, CensusEnd(isCompleted: true, leftAtCompletion: true), at: Self.start)
    census.countTail(legacy, events: 3, at: Self.start)
    census.countTail(legacy, events: 0, at: Self.start)
    let old = counts(census, "old")
    #expect(old?.streams == 3 && old?.completed == 2 && old?.leftAtCompletion == 1)
    #expect(old?.hungUpBeforeStreamEnd == 0 && old?.identities.estimate == 1)
    #expect(old?.tailsRead == 2 && old?.tailsLost == 1 && old?.eventsAfterLeaving == 3)
    #expect(counts(census, "new")?.hungUpBeforeStreamEnd == 1)
    #expect(census.streams(in: .legacy) == 3 && census.streams(in: .graceful) == 1)
  }

  @Test func `25,000 products take 500 rows, and push out no busy one`() {
    var census = Census()
    var series = ClientSeries()
    var worker = Census()
    let busy = (0..<20).map { Self.key("busy-\($0)") }
    for index in 0..<25_000 {
      let now = WallTime(milliseconds: Self.start.milliseconds + Int64(index))
      worker.count(Self.key("evil-\(index)"), CensusEnd(identity: Self.hash(UInt64(index))), at: now)
      // Each of them makes 0.5 % of the streams.
      if index.isMultiple(of: 10) { worker.count(busy[index / 10 % 20], CensusEnd(identity: 7), at: now) }
      guard index % 1250 == 1249 else { continue }
      #expect(worker.rows.count <= Census.rowLimit)
      census.add(worker)
      series.count(worker, of: census)
      worker = Census()
    }
    #expect(census.rows.count == Census.rowLimit && census.others.count == 1)
    #expect(series.counts.count <= ClientSeries.limit + Mode.allCases.count)
    #expect(series.counts.values.reduce(0, +) <= 27_500)
    for key in busy { #expect(counts(census, key.product.name)?.streams == 125, "\(key.product.name)") }
    #expect(census.streams(in: .legacy) == 27_500, "what has no row is counted all the same")
    let other = census.others.values.first
    #expect((other?.counts.identities.estimate ?? 0) > 12_500)
    let text = census.json.text()
    #expect(text.utf8.count < 500_000, "\(text.utf8.count)")
    let named = Set(series.counts.keys.map(\.product.name))
    for key in busy { #expect(named.contains(key.product.name), "\(key.product.name)") }
  }

  @Test func `a row that comes often gets a place for good, of equals the one seen longest ago goes`() {
    var census = Census()
    for index in 0..<Census.rowLimit {
      census.count(Self.key("row-\(index)"), CensusEnd(), at: Self.later(days: 0, seconds: index))
    }
    census.count(Self.key("late"), CensusEnd(), at: Self.later(days: 0, seconds: 1000))
    #expect(counts(census, "row-0") == nil && counts(census, "row-1") != nil)
    #expect(counts(census, "late")?.streams == 1, "what the row before it had counted is not shown as its own")
    // It weighs 2 now: the next newcomer takes another's place.
    census.count(Self.key("later"), CensusEnd(), at: Self.later(days: 0, seconds: 1001))
    #expect(counts(census, "late") != nil && counts(census, "row-1") == nil)
  }

  @Test func `what is older than seven days is forgotten, and so is what it weighed`() {
    var census = Census()
    census.count(Self.key("gone"), CensusEnd(), at: Self.start)
    for day in 0...7 { census.count(Self.key("daily"), CensusEnd(), at: Self.later(days: day)) }
    census.count(Self.key("wrong clock"), CensusEnd(), at: Self.later(days: 3000))
    census.forget(at: Self.later(days: 7))
    #expect(census.rows.map(\.key.product.name) == ["daily"])
    #expect(counts(census, "daily")?.streams == 7 && census.streams(in: .legacy) == 7)
    census.count(Self.key("daily"), CensusEnd(), at: Self.later(days: 5))
    #expect(census.rows[0].days.count == 7, "a clock that was set back counts in its own day")
  }

  @Test func `workers' counts add up, whoever has a row`() {
    var (one, two) = (Census(), Census())
    for identity in 0..<40 as Range<UInt64> {
      one.count(Self.key("a"), CensusEnd(identity: Self.hash(identity)), at: Self.start)
      two.count(Self.key("a"), CensusEnd(identity: Self.hash(identity)), at: Self.later(days: 1))
      two.count(Self.key("b", mode: .shield), CensusEnd(), at: Self.start)
    }
    one.add(two)
    #expect(counts(one, "a")?.streams == 80 && one.streams(in: .shield) == 40)
    let identities = counts(one, "a")?.identities.estimate ?? 0
    #expect((28...52).contains(identities), "\(identities)")
    #expect(one.rows.first { $0.key.product.name == "a" }?.lastSeen == Self.later(days: 1))
  }

  private static func hash(_ value: UInt64) -> UInt64 {
    var hash = IdentityHash(seed: 42)
    for shift in 0..<8 as Range<UInt64> { hash.combine(UInt8(truncatingIfNeeded: value >> (shift * 8))) }
    return hash.value
  }

  @Test(arguments: [1, 10, 64, 200, 1000, 100_000])
  func `distinct identities are counted to within three standard errors`(count: Int) {
    var sketch = HyperLogLog()
    for value in 0..<UInt64(count) {
      sketch.insert(Self.hash(value))
      sketch.insert(Self.hash(value))
    }
    let error = abs(Double(sketch.estimate) - Double(count)) / Double(count)
    #expect(error < 0.4, "\(sketch.estimate)")
    #expect(HyperLogLog(text: sketch.text) == sketch)
  }

  @Test func `clients that will stay in legacy are those that do not understand stream_end`() {
    var census = Census()
    let capable = Capability(understandsStreamEnd: true, source: .prefer)
    census.count(Self.key("new", capability: capable), CensusEnd(), at: Self.start)
    census.count(Self.key("old"), CensusEnd(), at: Self.start)
    census.count(Self.key("shielded", mode: .shield), CensusEnd(), at: Self.start)
    #expect(census.streamsThatStayLegacy == 1)
    for index in 0..<1000 {
      census.count(Self.key("evil-\(index)", capability: capable), CensusEnd(), at: Self.later(days: 0, seconds: 1))
    }
    #expect(census.streamsThatStayLegacy == 1, "also where they have no row")
  }

  @Test func `a tail that ends after its stream was handed over is counted in the stream's row`() {
    var (all, worker) = (Census(), Census())
    worker.count(Self.key("a"), CensusEnd(leftAtCompletion: true), at: Self.start)
    all.add(worker)
    worker = Census()
    worker.countTail(Self.key("a"), events: 2, at: Self.start)
    worker.countTail(Self.key("gone"), events: 1, at: Self.start)
    all.add(worker)
    #expect(counts(all, "a")?.streams == 1 && counts(all, "a")?.eventsAfterLeaving == 2)
    #expect(all.rows.count == 1 && all.others.values.first?.counts.eventsAfterLeaving == 1)
  }

  // MARK: - The file

  @Test func `what was saved is there again`() throws {
    var census = Census()
    for index in 0..<600 {
      census.count(Self.key("a-\(index % 550)"), CensusEnd(identity: Self.hash(UInt64(index))), at: Self.start)
    }
    let again = Census(restoring: try JSONValue(parsing: census.json.text()), at: Self.start)
    #expect(again.rows.count == Census.rowLimit && again.streams(in: .legacy) == 600)
    #expect(again.json == census.json)
    #expect(Census(restoring: census.json, at: Self.later(days: 8)).isEmpty)
  }

  @Test(
    arguments: [
      "null", "[]", "{\"rows\":5}", "{\"rows\":[{}]}", row(product: "null"), row(mode: "\"steep\""),
      row(count: "1e300"), row(count: "-1"), row(count: "0.5"), row(days: "[]"),
      row(identities: "\"zz\""), row(identities: "\"\(String(repeating: "~", count: 64))\""),
    ])
  func `a file that is not what it should be counts nothing`(text: String) throws {
    #expect(Census(restoring: try JSONValue(parsing: text), at: Self.start).isEmpty, "\(text)")
  }

  @Test func `the largest numbers that a file may hold add up`() throws {
    let value = try JSONValue(parsing: Self.row(count: "\(CensusCounts.limit)", copies: 500))
    let census = Census(restoring: value, at: Self.start)
    #expect(census.streams(in: .legacy) == 500 << 48)
  }

  @Test func `registers that no hash leads to are no trap`() {
    let sketch = HyperLogLog(text: String(repeating: "k", count: HyperLogLog.registers))
    #expect((sketch?.estimate ?? 0) > 1_000_000)
  }

  private static func row(
    product: String = "\"a\"", mode: String = "\"legacy\"", count: String = "1", days: String? = nil,
    identities: String? = nil, copies: Int = 1
  ) -> String {
    let sketch = identities ?? "\"\(String(repeating: "0", count: 64))\""
    let day = """
      {"day":\(start.day),"credit":0,"counts":[\(count),0,0,0,0,0,0],"identities":\(sketch)}
      """
    let row = """
      {"product":\(product),"version":"1","route":"r","capability":"none","understandsStreamEnd":false,
       "mode":\(mode),"lastSeen":"2026-03-01T00:00:00.000Z","days":\(days ?? "[\(day)]")}
      """
    return "{\"rows\":[\([String](repeating: row, count: copies).joined(separator: ","))]}"
  }

  @Test func `a row is shown with what was counted, and null for what nobody looked for`() {
    var census = Census()
    census.count(Self.key("a"), CensusEnd(isCompleted: true, leftAtCompletion: true), at: Self.start)
    census.count(Self.key("b"), CensusEnd(), at: Self.start)
    census.count(Self.key("b"), CensusEnd(), at: Self.start)
    census.countTail(Self.key("b"), events: 2, at: Self.start)
    let report = census.report(readsTails: true, at: Self.start)
    #expect(report["streams"] == 3 && report["byMode"]?["legacy"] == 3 && report["staysLegacy"] == 3)
    let rows = report["rows"]?.array ?? []
    #expect(rows.map { $0["product"]?.string } == ["b", "a"], "the largest first")
    #expect(rows.last?["leftAtCompletion"] == 1 && rows.last?["tailsLost"] == .null)
    #expect(rows.first?["tailsLost"] == 1 && rows.first?["eventsAfterLeaving"] == 2)
  }

  // MARK: - Metrics

  @Test func `a series takes another's place once it has twice its streams, and never goes down`() {
    var series = ClientSeries()
    var all = Census()
    func play(_ name: String, _ count: Int) {
      var new = Census()
      for _ in 0..<count { new.count(Self.key(name), CensusEnd(), at: Self.start) }
      all.add(new)
      series.count(new, of: all)
    }
    for index in 0..<ClientSeries.limit { play("row-\(index)", 10) }
    func value(_ name: String) -> Int? { series.counts.first { $0.key.product.name == name }?.value }
    play("new", 20)
    #expect(value("new") == nil && value("other") == 20)
    play("new", 1)
    #expect(value("new") == 0 && value("other") == 21)
    play("new", 5)
    #expect(value("new") == 5 && series.counts.count == ClientSeries.limit + 1)
  }
}
