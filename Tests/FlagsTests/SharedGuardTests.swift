import Flags
import JSON
import Testing
import Time

/// Decisions and counts that several gateways share.
@Suite struct `A shared guard` {
  /// A store as the script of Redis keeps it.
  private struct Store {
    var entry = SharedWord.Entry()

    /// One exchange of a gateway with it; what the gateway takes over.
    mutating func exchange(with word: inout SharedWord) -> String? {
      let offer = word.offer()
      if offer.number > entry.number { entry = offer }
      return word.take(entry) { $0.first == $1.first }
    }
  }

  @Test func `what one decides the others take over, and what it lifts too`() {
    var (store, one, other) = (Store(), SharedWord(), SharedWord())
    one.set("kill")
    #expect(one.text == "kill" && one.wish == "kill", "in force before anybody knows")
    #expect(store.exchange(with: &one) == nil && one.wish == nil)
    #expect(store.exchange(with: &other) == "kill")
    #expect(store.exchange(with: &other) == nil, "once")
    other.set("")
    _ = store.exchange(with: &other)
    #expect(store.exchange(with: &one) == "" && one.text.isEmpty)
  }

  @Test func `of two at the same time both are in force, and it ends`() {
    var (store, one, other) = (Store(), SharedWord(), SharedWord())
    one.set("kill by one")
    other.set("hard by other")
    _ = store.exchange(with: &one)
    #expect(store.exchange(with: &other) == nil && other.wish != nil, "its number was taken")
    _ = store.exchange(with: &other)
    #expect(store.exchange(with: &one) == "hard by other")
    #expect(one == SharedWord(stored: store.entry) && other.wish == nil)
    // The same by both is no reason to go on.
    one.set("")
    _ = store.exchange(with: &one)
    _ = store.exchange(with: &other)
    one.set("kill by one")
    other.set("kill by other")
    _ = store.exchange(with: &one)
    #expect(store.exchange(with: &other) == nil && other.wish == nil)
  }

  /// One exchange in which "hard" is harder than anything else.
  private func exchange(_ store: inout Store, _ word: inout SharedWord) -> String? {
    let offer = word.offer()
    if offer.number > store.entry.number { store.entry = offer }
    return word.take(store.entry, isSame: ==, isHarder: { $0 == "hard" && $1 != "hard" })
  }

  @Test func `who does not know of a harder word does not weaken it`() {
    var (store, one, other) = (Store(), SharedWord(), SharedWord())
    one.set("hard")
    #expect(exchange(&store, &one) == nil)
    other.set("soft")
    #expect(exchange(&store, &other) == "hard" && other.wish == nil)
    // A store that was lost, and first told by the one that knew less.
    store = Store(entry: .init(number: store.entry.number, text: "soft"))
    #expect(exchange(&store, &one) == nil && one.text == "hard")
    #expect(exchange(&store, &one) == nil && store.entry.text == "hard")
    #expect(exchange(&store, &other) == nil || other.text == "hard")
    // Who lifts it and begins anew knows what he does.
    one.set("")
    one.set("soft")
    _ = exchange(&store, &one)
    #expect(store.entry.text == "soft" && exchange(&store, &other) == "soft")
  }

  @Test func `what is lifted while the store is away does not lift what others put in force meanwhile`() {
    var (store, one, other) = (Store(), SharedWord(), SharedWord())
    one.set("kill")
    _ = store.exchange(with: &one)
    _ = store.exchange(with: &other)
    one.set("")
    other.set("")
    _ = store.exchange(with: &other)
    other.set("kill again")
    _ = store.exchange(with: &other)
    #expect(store.exchange(with: &one) == "kill again" && one.wish == nil)
  }

  @Test func `what was put in force while the store was away is told when it is back`() {
    var (store, one, other) = (Store(), SharedWord(), SharedWord())
    one.set("kill")
    _ = one.offer()
    one.fail()
    for _ in 0..<3 {
      other.set("x")
      _ = store.exchange(with: &other)
      other.set("")
      _ = store.exchange(with: &other)
    }
    _ = store.exchange(with: &one)
    _ = store.exchange(with: &one)
    #expect(one.wish == nil && store.exchange(with: &other) == "kill")
  }

  @Test func `a store that has lost everything is told again by whoever knows`() {
    var (store, one, other) = (Store(), SharedWord(), SharedWord())
    one.set("kill")
    _ = store.exchange(with: &one)
    _ = store.exchange(with: &other)
    store = Store()
    var fresh = SharedWord()
    #expect(store.exchange(with: &fresh) == nil)
    #expect(store.exchange(with: &other) == nil && other.text == "kill")
    #expect(store.exchange(with: &fresh) == "kill")
  }

  @Test(arguments: [-1, SharedWord.limit + 1, Int.max, Int.min]) func `numbers that no gateway writes are left alone`(
    _ number: Int
  ) {
    var word = SharedWord()
    _ = word.offer()
    #expect(word.take(SharedWord.Entry(number: number, text: "kill")) { $0 == $1 } == nil && word.text.isEmpty)
    var full = SharedWord(stored: SharedWord.Entry(number: SharedWord.limit, text: ""))
    full.set("kill")
    #expect(full.offer().number == SharedWord.limit)
  }

  private static func arms(_ clients: Range<Int>, streams: Int, failing: Int = 0) -> GuardArms {
    var arms = GuardArms()
    for client in clients {
      for stream in 0..<streams {
        arms.treated.observe(.truncation, stream < failing ? 1 : 0, client: client)
        arms.treated.observe(.timeToFirstToken, Logarithm.of(20), client: client)
        arms.control.observe(.truncation, 0, client: client + 1000)
      }
    }
    return arms
  }

  @Test func `counts survive the way as text`() throws {
    let arms = Self.arms(0..<30, streams: 7, failing: 2)
    let read = try #require(GuardArms(try JSONValue(parsing: arms.json.text())))
    #expect(read.treated.streams == 210 && read.control.streams == 210)
    #expect(read.treated.identities == arms.treated.identities)
    let cells = zip(read.treated.cells(of: .timeToFirstToken), arms.treated.cells(of: .timeToFirstToken))
    #expect(cells.allSatisfy { abs($0.numerator - $1.numerator) < 1e-5 && $0.denominator == $1.denominator })
  }

  @Test(arguments: [
    "{}", "[]", "{\"treated\":{},\"control\":[]}", "{\"treated\":{\"truncation\":[[64,0,1]]},\"control\":{}}",
    "{\"treated\":{\"truncation\":[[-1,0,1]]},\"control\":{}}",
    "{\"treated\":{\"truncation\":[[0,1e300,1]]},\"control\":{}}",
    "{\"treated\":{\"truncation\":[[0,0,-1]]},\"control\":{}}",
    "{\"treated\":{\"truncation\":[[0.5,0,1]]},\"control\":{}}",
  ])
  func `counts that no gateway writes are refused`(_ text: String) throws {
    #expect(GuardArms(try JSONValue(parsing: text)) == nil)
  }

  @Test func `the largest counts that are taken make no comparison fail`() throws {
    let cell = "[[0,1e12,1],[1,-1e12,1e12]]"
    let arm = "{\"truncation\":\(cell),\"time_to_first_token\":\(cell)}"
    let arms = try #require(GuardArms(try JSONValue(parsing: "{\"treated\":\(arm),\"control\":\(arm)}")))
    var peers = PeerSums()
    let reports = (0..<2000).map { ("\($0)", PeerSums.Report(hash: "h", arms: arms)) }
    peers.take(Dictionary(uniqueKeysWithValues: reports), hash: "h")
    #expect(peers.count == PeerSums.most)
    let policy = GuardPolicy()
    let compared = policy.reports(treated: peers.sums.treated, control: peers.sums.control)
    #expect(compared.count == 5 && compared.allSatisfy { !$0.summary.isEmpty })
    #expect(!JSONValue.array(compared.map { .string($0.summary) }).text().isEmpty)
  }

  @Test func `sums of others grow with what they add, and only for the same file`() {
    var peers = PeerSums()
    func take(_ streams: Int, hash: String, from name: String = "a") {
      peers.take([name: .init(hash: hash, arms: Self.arms(0..<10, streams: streams))], hash: "h2")
    }
    take(1, hash: "h1")
    #expect(peers.sums.treated.streams == 0)
    take(2, hash: "h2")
    take(5, hash: "h2")
    #expect(peers.sums.treated.streams == 50 && peers.sums.control.streams == 50)
    take(1, hash: "h2", from: "b")
    #expect(peers.sums.treated.streams == 60, "another process")
    take(4, hash: "h2")
    #expect(peers.sums.treated.streams == 60, "fewer than before is no continuation")
  }

  @Test func `a client that uses two gateways is one client`() {
    let policy = GuardPolicy()
    // Seven clients, each at both gateways: too few, however often they are counted.
    var both = Self.arms(0..<7, streams: 100)
    both.add(Self.arms(0..<7, streams: 100))
    let report = policy.reports(treated: both.treated, control: both.control)[0]
    #expect(report.treated.samples == 1400 && report.treated.occupied <= 7)
    #expect(report.verdict == .notEnough && report.missing.contains("identities"))
    // Its failures at both are one throw of the die.
    var rude = Self.arms(0..<40, streams: 50)
    for _ in 0..<2 { rude.add(Self.arms(77..<78, streams: 600, failing: 600)) }
    #expect(policy.reports(treated: rude.treated, control: rude.control)[0].verdict != .worse)
  }

  @Test func `several policies are judged by the strictest`() {
    var (loose, strict) = (GuardPolicy(), GuardPolicy())
    loose.margins = [.truncation: 0.2]
    loose.dryRun = [.retries, .truncation]
    strict.margins = [.truncation: 0.01]
    strict.minSamples = 500
    strict.dryRun = [.retries]
    let both = GuardPolicy(strictestOf: [loose.json, strict.json])
    #expect(both.minSamples == 500 && both.margins[.truncation] == 0.01 && both.dryRun == [.retries])
    #expect(both.absolutes[.truncation] == 0.25 && both.absolutes[.retries] == nil)
  }

  @Test func `a trip of another gateway holds until a file acknowledges it, and not in a process that ends`() throws {
    var machine = GuardMachine()
    _ = machine.fileChanged(revision: "5", hash: "h5", acknowledged: "")
    let written: JSONValue = [
      "effect": "rollback", "revision": "4", "hash": "h4", "at": "2026-11-21T10:25:40.804Z", "reason": "elsewhere",
    ]
    let latch = try #require(GuardMachine.Latch(written))
    #expect(latch.json == written && GuardMachine.Latch(["effect": "none"]) == nil)
    #expect(machine.adopt(latch) && machine.effect == .rollback && !machine.adopt(latch))
    #expect(machine.fileChanged(revision: "6", hash: "h6", acknowledged: "4") == .released(revision: "4"))
    machine.rest()
    #expect(!machine.adopt(latch) && machine.effect == .none)
  }
}
