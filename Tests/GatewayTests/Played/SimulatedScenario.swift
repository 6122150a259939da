import EventSamples
import Streams

/// What a simulated world is made of, and what happens in it, one thing after the other. A seed determines all of it.
struct SimulatedScenario {
  let seed: UInt64
  let plan: SimulatedPlan
  var steps: [SimulatedStep]

  init(seed: UInt64) {
    self.seed = seed
    var random = SeededGenerator(seed: seed)
    plan = SimulatedPlan(&random)
    steps = []
    let count = 12 + random.below(34)
    while steps.count < count { steps += SimulatedStep.draw(plan, &random) }
  }
}

/// The gateways of a scenario and how they are set up.
struct SimulatedPlan {
  enum Seat { case alone, beside, replica }

  let seats: [Seat]
  let isShared: Bool
  let mustKeep: Bool
  let variant: Mode
  let onDisconnect: String
  let gate: String
  let backendsHaveIDs: Bool
  /// Bytes of memory for a run.
  let window: Int

  init(_ random: inout SeededGenerator) {
    isShared = random.chance(60)
    seats =
      isShared
      ? random.pick([[.alone], [.alone, .replica], [.alone, .replica, .replica], [.alone, .beside, .replica]])
      : random.pick([[.alone], [.alone, .beside]])
    mustKeep = random.chance(40)
    variant = random.pick([.graceful, .graceful, .graceful, .graceful, .legacy, .shield])
    onDisconnect = random.pick(["cancel", "grace=2", "continue", "continue"])
    gate = random.pick(["head", "firstEvent", "firstToken"])
    backendsHaveIDs = random.chance(20)
    window = random.chance(15) ? 32 << 10 : 0
  }

  var configuration: String {
    let kept = """
      runs: {
        onDisconnect: "\(onDisconnect)", ttl: "60s", window: \(window), store: "\(isShared ? "redis" : "memory")",
        \(isShared ? "whenStoreFails: \"\(mustKeep ? "refuse" : "degrade")\"," : "")
      },
      """
    return """
      {
        upstreams: { b: { url: "http://backend" }, c: { url: "http://spare" } },
        limits: { bodyTimeout: "6s", stallTimeout: "6s", keepAliveTimeout: "10s", headTimeout: "5s" },
        stream: {
          idle: "10s", firstToken: "6s", clientStall: "8s", keepalive: "3s", linger: "2s", highWater: "16KiB",
          lowWater: "4KiB", eventLimit: "64KiB",
        },
        defaults: {
          timeouts: { connect: "2s", head: "4s", answer: "6s" }, budget: "12s", answerBudget: "12s", commitAfter: "3s",
        },
        \(isShared ? "runs: { redis: { url: \"redis://played\" } }," : "")
        routes: [
          \(isShared ? workers : "")
          { name: "kept", path: "/kept", methods: ["POST", "GET"], upstreams: "b", \(kept) },
          {
            name: "tried", path: "/tried", methods: ["POST", "GET"], upstreams: ["b", "c"], gate: "\(gate)", \(kept)
          },
          { name: "plain", path: "/plain", methods: ["POST", "GET"], upstreams: "b" },
          { name: "pair", path: "/pair", methods: ["POST", "GET"], upstreams: ["b", "c"], gate: "\(gate)" },
        ],
      }
      """
  }
}

extension SimulatedPlan {
  private var workers: String {
    """
    {
      name: "agents", path: "/api/agents/stream/:runId", runs: { source: "redis" },
      stream: { idle: "10s", firstToken: "6s", keepalive: "3s" },
    },
    """
  }
}

/// A client's request for a stream.
struct SimulatedAsking {
  var route: String
  var method: String
  var user: String
  var prefersEnd: Bool
  var key: Int?
  var tab: Int?
  var wish: String?
  /// Whether it comes over a connection of HTTP/1.1.
  var isConnected: Bool

  init(_ plan: SimulatedPlan, _ random: inout SeededGenerator) {
    route = random.pick(["/kept", "/kept", "/kept", "/tried", "/plain", "/pair"])
    method = random.pick(["POST", "POST", "GET"])
    user = random.pick(["alice", "alice", "bob", ""])
    prefersEnd = random.chance(70)
    key = random.chance(35) ? random.below(2) : nil
    tab = random.chance(12) ? random.below(2) : nil
    wish = random.chance(10) ? random.pick(["cancel", "continue", "grace=1"]) : nil
    isConnected = random.chance(40)
  }
}

/// Something that happens, and how many turns of the loops come after it. Clients and backends are named by how many
/// came after them, so that a scenario without some of its steps is one too.
struct SimulatedStep {
  enum Place {
    case latest
    case earlier(Int)
    case foreign, whole
  }
  enum Ending { case whole, finished, broken }
  enum Dialing { case made, refused, unanswered }

  enum Deed {
    case ask(Int, SimulatedAsking)
    case opens(Int)
    case refuses(Int, status: Int)
    case answersPage(Int)
    case says(Int, kinds: [Int], size: Int, cuts: UInt64)
    case saysHalf(Int, size: Int)
    case ends(Int, Ending, withTerminal: Bool)
    case leaves(Int)
    case halfCloses(Int)
    case takesNothing(Int)
    case takes(Int)
    case goesOn(Int, at: Int, from: Place, prefersEnd: Bool, isConnected: Bool)
    case looks(Int, at: Int, asStranger: Bool)
    case stops(Int, at: Int, asStranger: Bool)
    case flag(Int, Mode)
    case kill(Int, Recall)
    case drain(Int)
    case endStreams(Int)
    case endRuns(Int)
    case reloads(Int)
    case dials(Int, Dialing)
    case storeHolds([String])
    case storeLetsGo
    case storeLeaves
    case storeReturns
    case storeErrs(String, StoreTrouble)
    case storeIsWell
    case workerSays(Int, size: Int)
    case workerEnds(Int, Outcome)
    case readsWorker(Int, at: Int, SimulatedAsking)
    case leaseIsLost(Int)
    case runsExpire
    case timePasses(milliseconds: Int)
  }

  var deed: Deed
  var turns: Int

  private static let questions = [
    "claim", "claimKey", "lookup", "standing", "find", "append", "remainingWait", "requestCancel", "readersElsewhere",
  ]

  private static func goOn(_ gateway: Int, _ number: Int, _ random: inout SeededGenerator) -> Deed {
    let place = random.pick([Place.latest, .latest, .earlier(1), .earlier(2), .earlier(4), .foreign, .whole])
    return .goesOn(number, at: gateway, from: place, prefersEnd: random.chance(80), isConnected: random.chance(40))
  }

  private static func draw(
    workerOf job: Int, _ gateway: Int, _ plan: SimulatedPlan, _ random: inout SeededGenerator
  ) -> Deed {
    switch random.below(10) {
    case ..<5: return .workerSays(job, size: random.chance(90) ? random.below(100) : random.below(20_000))
    case ..<6: return .workerEnds(job, random.pick([.completed, .completed, .upstreamError]))
    default:
      var asking = SimulatedAsking(plan, &random)
      (asking.route, asking.method, asking.user) = ("/api/agents/stream/job-\(job)", "GET", "alice")
      (asking.key, asking.tab, asking.wish) = (nil, nil, nil)
      return .readsWorker(job, at: gateway, asking)
    }
  }

  static func draw(_ plan: SimulatedPlan, _ random: inout SeededGenerator) -> [SimulatedStep] {
    let gateway = random.below(plan.seats.count)
    // The latest are the likeliest.
    func some(_ random: inout SeededGenerator) -> Int { min(random.below(5), random.below(5)) }
    func settled(_ deeds: Deed...) -> [SimulatedStep] {
      deeds.map { SimulatedStep(deed: $0, turns: random.chance(60) ? 8 : random.below(4)) }
    }
    let number = some(&random)
    if random.chance(8) { return settled(goOn(gateway, number, &random)) }
    if plan.isShared, random.chance(4) { return settled(.storeHolds(["append"])) }
    if plan.isShared, random.chance(10) { return settled(draw(workerOf: random.below(2), gateway, plan, &random)) }
    switch random.below(plan.isShared ? 115 : 100) {
    case ..<16:
      let ask = Deed.ask(gateway, SimulatedAsking(plan, &random))
      return random.chance(85) ? settled(ask, .opens(0)) : settled(ask)
    case ..<20: return settled(.opens(number))
    case ..<23: return settled(.refuses(number, status: random.pick([404, 429, 500, 503])))
    case ..<24: return settled(.answersPage(number))
    case ..<46:
      let kinds = (0..<1 + random.below(4)).map { _ in random.below(10) }
      let size = random.chance(80) ? random.below(60) : random.chance(80) ? random.below(3000) : random.below(40_000)
      return settled(.says(number, kinds: kinds, size: size, cuts: random.next()))
    case ..<49: return settled(.saysHalf(number, size: random.below(200)))
    case ..<57:
      let ending = random.pick([Ending.whole, .whole, .whole, .finished, .broken])
      return settled(.ends(number, ending, withTerminal: random.chance(70)))
    case ..<63: return settled(.leaves(number))
    case ..<64: return settled(.halfCloses(number))
    case ..<66: return settled(.takesNothing(number))
    case ..<68: return settled(.takes(number))
    case ..<77: return settled(goOn(gateway, number, &random))
    case ..<82: return settled(.looks(number, at: gateway, asStranger: random.chance(15)))
    case ..<85: return settled(.stops(number, at: gateway, asStranger: random.chance(15)))
    case ..<86 where random.chance(30): return settled(.reloads(gateway))
    case ..<86: return settled(.flag(gateway, random.pick([.graceful, .legacy, .shield])))
    case ..<88: return settled(.kill(gateway, random.pick([.none, .announced, .hard])))
    case ..<89: return settled(random.pick([.drain(gateway), .endStreams(gateway), .endRuns(gateway)]))
    case ..<91: return settled(.dials(gateway, random.pick([.made, .made, .refused, .unanswered])))
    case ..<100:
      return settled(.timePasses(milliseconds: random.chance(75) ? random.below(1500) : random.below(12_000)))
    case ..<104: return settled(.storeHolds([random.pick(questions)]))
    case ..<107: return settled(.storeLetsGo)
    case ..<108: return settled(.storeLeaves)
    case ..<110: return settled(.storeReturns)
    case ..<111:
      return settled(.storeErrs(random.pick(questions.filter { $0 != "append" }), random.pick(StoreTrouble.allCases)))
    case ..<113: return settled(.storeIsWell)
    case ..<114: return settled(.leaseIsLost(number))
    default: return settled(.runsExpire)
    }
  }
}
