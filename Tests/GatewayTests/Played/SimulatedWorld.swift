import Gateway
import Logging
import Loop
import Runs
import SSE
import Streams
import Time

/// Plays a scenario, and holds what becomes of it against what must always be so.
final class SimulatedWorld {
  struct Look {
    let begun: Int
    let ended: Int
    let gateway: Int
    let state: String
    let sequence: Int
    let outcome: String
  }

  let plan: SimulatedPlan
  let clock = PlayedClock()
  let truth: PlayedTruth?
  let log: SimulatedLog
  var gateways: [PlayedGateway] = []
  var clients: [SimulatedClient] = []
  var answers: [SimulatedAnswer] = []
  /// What readers of a stream read.
  var streams: [String: SimulatedAnswer] = [:]
  /// What workers write, by the path at which it is read.
  var workers: [String: SimulatedAnswer] = [:]
  var ends: [String: [(outcome: String, client: SimulatedClient)]] = [:]
  var looks: [String: [Look]] = [:]
  var lookBegan: [Int: Int] = [:]
  var failures: [String] = []
  /// The step that is played.
  var now = 0
  var isSettled = true
  /// Whether the store did ever not do what it was asked to, or gave a run away.
  var storeWasBad = false
  /// Whether anybody but backends has ended something.
  var isMeddled = false
  var hardKills: Set<Int> = []
  var drained: Set<Int> = []
  var expired: Set<String> = []
  /// Milliseconds that have passed.
  var elapsed = 0
  private var restingDeadlines: [Int] = []
  private var restingMemory = 0

  init(_ plan: SimulatedPlan, log: SimulatedLog) throws {
    self.plan = plan
    self.log = log
    truth = plan.isShared ? PlayedTruth() : nil
    for seat in plan.seats {
      gateways.append(
        try PlayedGateway(
          plan.configuration, variant: plan.variant, store: truth, beside: seat == .beside ? gateways[0] : nil,
          clock: clock, log: log.writer))
    }
    comeToRest()
    restingDeadlines = gateways.map(\.loop.deadlines.count)
    restingMemory = gateways[0].process.memoryInUse
  }

  func fail(_ text: @autoclosure () -> String) {
    if failures.count < 5 { failures.append("step \(now): \(text())") }
  }

  // MARK: - Playing

  func play(_ step: SimulatedStep, number: Int) throws {
    now = number
    try perform(step.deed)
    turns(step.turns)
    isSettled = step.turns >= 8
    observe()
  }

  func turns(_ count: Int) {
    for _ in 0..<count { for gateway in gateways { gateway.loop.turn() } }
  }

  func comeToRest() { turns(16) }

  func pass(_ milliseconds: Int, tick: Int) {
    elapsed += milliseconds
    var left = milliseconds
    while left > 0 {
      clock.pass(.milliseconds(min(left, tick)))
      left -= tick
      for gateway in gateways { gateway.loop.deadlines.scan(at: gateway.loop.readClock()) }
      for client in clients { client.timePassed(gateways[client.gateway]) }
      turns(3)
    }
  }

  private func client(_ number: Int) -> SimulatedClient? {
    let readers = clients.filter { $0.kind == .asks || $0.kind == .goesOn }
    return number < readers.count ? readers[readers.count - 1 - number] : nil
  }

  private func answer(_ number: Int) -> SimulatedAnswer? {
    let live = answers.filter(\.isLive)
    return number < live.count ? live[live.count - 1 - number] : nil
  }

  private func perform(_ deed: SimulatedStep.Deed) throws {
    switch deed {
    case .ask(let gateway, let asking): try ask(asking, at: gateway)
    case .opens(let number): answer(number)?.open()
    case .refuses(let number, let status): answer(number)?.refuse(status)
    case .answersPage(let number): answer(number)?.answerPage()
    case .says(let number, let kinds, let size, let cuts):
      answer(number)?.say(kinds, size: size, cuts: cuts, withIDs: plan.backendsHaveIDs)
    case .saysHalf(let number, let size): answer(number)?.sayHalf(size: size)
    case .ends(let number, let ending, let withTerminal): answer(number)?.end(ending, withTerminal: withTerminal)
    case .leaves(let number): client(number)?.leave()
    case .halfCloses(let number): client(number)?.halfClose()
    case .takesNothing(let number):
      client(number)?.takeNothing()
      isMeddled = true
    case .takes(let number): client(number)?.take()
    case .goesOn(let number, let gateway, let place, let prefersEnd, let isConnected):
      try goOn(number, at: gateway, from: place, prefersEnd: prefersEnd, isConnected: isConnected)
    case .looks(let number, let gateway, let asStranger):
      try askOfRun(.looks, number, at: gateway, asStranger: asStranger)
    case .stops(let number, let gateway, let asStranger):
      try askOfRun(.stops, number, at: gateway, asStranger: asStranger)
    case .flag(let gateway, let mode): try gateways[gateway].adopt(mode)
    case .readsWorker(let job, let gateway, let asking):
      _ = worker(job)
      try ask(asking, at: gateway)
    case .kill(let gateway, let recall):
      gateways[gateway].kill(recall)
      if recall == .hard { hardKills.insert(gateway) }
    case .drain(let gateway): drain(gateway)
    case .endStreams(let gateway): endStreams(gateway)
    case .endRuns(let gateway):
      gateways[gateway].endRuns()
      isMeddled = true
      drained.insert(gateway)
    case .reloads(let gateway): try gateways[gateway].adopt(plan.configuration)
    case .dials(let gateway, let dialing):
      gateways[gateway].backends.refuses = dialing == .refused
      gateways[gateway].backends.isSilent = dialing == .unanswered
    case .timePasses(let milliseconds): pass(milliseconds, tick: 250)
    default: if let truth { perform(deed, truth) }
    }
  }

  private func perform(_ deed: SimulatedStep.Deed, _ truth: PlayedTruth) {
    switch deed {
    case .storeHolds(let questions): truth.holdsBack.formUnion(questions)
    case .storeLetsGo: truth.letGo()
    case .storeLeaves:
      guard !truth.isAway else { return }
      (storeWasBad, isMeddled) = (true, true)
      truth.goAway()
    case .storeReturns: if truth.isAway { truth.comeBack() }
    case .storeErrs(let question, let trouble):
      (storeWasBad, isMeddled) = (true, true)
      truth.troubles[question] = trouble
    case .storeIsWell: truth.troubles = [:]
    case .workerSays(let job, let size):
      if let run = RunID("job-\(job)") { worker(job).write(size: size, to: run, in: truth) }
    case .workerEnds(let job, let outcome):
      if let run = RunID("job-\(job)") { worker(job).finish(run, outcome, in: truth) }
    case .leaseIsLost(let number):
      let owned = truth.runs.filter { $0.value.owner != nil }.keys.sorted { $0.description < $1.description }
      guard number < owned.count else { return }
      (storeWasBad, isMeddled) = (true, true)
      truth.takeAway(owned[number])
    case .runsExpire:
      for (run, record) in truth.runs where record.end != nil && record.owner == nil && record.meta?.source == .gateway
      {
        expired.insert(record.meta?.stream.description ?? "")
        truth.runs[run] = nil
        truth.keys = truth.keys.filter { $0.value.run != run }
      }
    default: break
    }
  }

  private func worker(_ job: Int) -> SimulatedAnswer {
    let path = "/api/agents/stream/job-\(job)"
    let known = workers[path] ?? SimulatedAnswer(number: 1_000_000 + job)
    workers[path] = known
    return known
  }

  private func drain(_ gateway: Int) {
    drained.insert(gateway)
    gateways[gateway].drain()
  }

  private func endStreams(_ gateway: Int) {
    drained.insert(gateway)
    isMeddled = true
    gateways[gateway].endStreams()
    for client in clients where client.gateway == gateway {
      guard case .direct(let played) = client.way, let exchange = played.exchange, !played.isOver else { continue }
      if exchange.stream != nil { exchange.finishStream(.draining, reason: "drain") } else { exchange.drainIsOver() }
    }
  }

  // MARK: - Requests

  private func ask(_ asking: SimulatedAsking, at gateway: Int) throws {
    var fields = [("X-Mark", "\(clients.count)")]
    if let key = asking.key { fields.append(("Idempotency-Key", "k\(key)")) }
    if let tab = asking.tab {
      fields.append(("X-Client-Stream-Id", "tab\(tab)"))
      isMeddled = true
    }
    if let wish = asking.wish { fields.append(("X-On-Disconnect", wish)) }
    if clients.count % 2 == 0 { fields.append(("Accept", "text/event-stream")) }
    try send(.asks, asking, at: gateway, asking.method, asking.route, fields)
  }

  @discardableResult
  func send(
    _ kind: SimulatedClient.Kind, _ asking: SimulatedAsking, at gateway: Int, _ method: String, _ path: String,
    _ fields: [(String, String)]
  ) throws -> SimulatedClient {
    let way: SimulatedClient.Way
    if asking.isConnected, !drained.contains(gateway) {
      var text = "\(method) \(path) HTTP/1.1\r\nHost: g\r\n\(method == "POST" ? "Content-Length: 0\r\n" : "")"
      for (name, value) in fields { text += "\(name): \(value)\r\n" }
      if asking.prefersEnd { text += "Prefer: stream-end\r\n" }
      if !asking.user.isEmpty { text += "Authorization: Bearer \(asking.user)\r\n" }
      let connection = gateways[gateway].connect()
      connection.send(text + "\r\n")
      way = .connection(connection, SimulatedResponse())
    } else {
      way = .direct(
        try gateways[gateway].request(
          method, path, fields, as: asking.user, prefersEnd: asking.prefersEnd, turns: 0))
    }
    let client = SimulatedClient(clients.count, kind, at: gateway, asking, way)
    lookBegan[client.number] = now
    clients.append(client)
    return client
  }

  private func goOn(
    _ number: Int, at gateway: Int, from place: SimulatedStep.Place, prefersEnd: Bool, isConnected: Bool
  ) throws {
    var known = clients.filter { $0.isStream && $0.asking.isResumable }
    if case .latest = place { known = known.filter { $0.mode == "graceful" && $0.reading.seenEvents > 0 } }
    if case .earlier(let back) = place { known = known.filter { $0.mode == "graceful" && $0.reading.next ?? 0 > back } }
    guard number < known.count else { return }
    let old = known[known.count - 1 - number]
    var asking = old.asking
    (asking.prefersEnd, asking.isConnected, asking.method, asking.key) = (prefersEnd, isConnected, "GET", nil)
    var path = "/fermata/streams/\(old.stream)"
    var fields = [("X-Mark", "\(clients.count)")]
    var had: Int?
    var isForeign = false
    let seen = old.reading.next ?? 0
    switch place {
    case .latest:
      had = seen
      fields.append(("Last-Event-ID", old.reading.lastID))
      // An id of the backend's own does not name the stream.
      if clients.count % 2 == 0, !old.reading.lastID.hasPrefix("u") { path = asking.route }
    case .earlier(let back):
      had = seen - back
      fields.append(("Last-Event-ID", "\(old.stream).\(seen - back)"))
      if clients.count % 2 == 0 { path = asking.route }
    case .foreign:
      isForeign = true
      fields.append(("Last-Event-ID", "AAAAAAAAAAAAAAAAAAAAAA.3"))
    case .whole: break
    }
    let client = try send(.goesOn, asking, at: gateway, "GET", path, fields)
    client.had = had
    client.isForeign = isForeign
    client.wanted = old.stream
    client.reading.next = isForeign ? nil : had ?? 0
  }

  func askOfRun(_ kind: SimulatedClient.Kind, _ number: Int, at gateway: Int, asStranger: Bool) throws {
    guard let old = client(number), !old.stream.isEmpty else { return }
    try ask(kind, of: old, at: gateway, asStranger: asStranger)
  }

  func ask(_ kind: SimulatedClient.Kind, of old: SimulatedClient, at gateway: Int, asStranger: Bool) throws {
    var asking = old.asking
    if asStranger { asking.user = "mallory" }
    asking.isConnected = false
    asking.prefersEnd = false
    if kind == .stops, !asStranger { isMeddled = true }
    let client = try send(
      kind, asking, at: gateway, kind == .looks ? "GET" : "DELETE", "/api/agents/run/\(old.stream)", [])
    client.wanted = old.stream
    client.isForeign = asStranger
  }

  // MARK: - The end

  /// Everything may come to its end, and must; then nothing may be left.
  func finish() throws {
    now += 1
    if let truth {
      truth.troubles = [:]
      truth.letGo()
      if truth.isAway { truth.comeBack() }
      truth.expireLeases()
    }
    for gateway in gateways { (gateway.backends.refuses, gateway.backends.isSilent) = (false, false) }
    for client in clients { client.take() }
    comeToRest()
    for _ in 0..<4 {
      observe()
      pass(8_000, tick: 500)
    }
    observe()
    for client in clients where !client.hasLeft && !client.isOver {
      fail("\(client.name) waits for ever (status \(client.status), stream \(client.stream))")
    }
    try askOfAll()
    for client in clients { client.leave() }
    for answer in answers where answer.isLive { answer.breakOff() }
    comeToRest()
    pass(80_000, tick: 2_000)
    isSettled = true
    observe()
    checkRest(deadlines: restingDeadlines, memory: restingMemory)
  }

  private func askOfAll() throws {
    let first = clients.filter { $0.kind == .asks && $0.isStream && !$0.stream.isEmpty }
    for client in first.suffix(4) {
      for gateway in gateways.indices { try ask(.looks, of: client, at: gateway, asStranger: false) }
    }
    comeToRest()
    observe()
  }

  /// Ends the gateways, and looks at what they have logged and what they hold on to.
  func close() {
    let places = gateways.map { WeakPlace($0.loop) }
    for gateway in gateways { gateway.stop() }
    checkLog()
    (gateways, clients, answers, streams, ends, workers) = ([], [], [], [:], [:], [:])
    if places.contains(where: { $0.loop != nil }) { fail("a loop is held on to") }
  }
}

private final class WeakPlace {
  private(set) weak var loop: EventLoop?
  init(_ loop: EventLoop) { self.loop = loop }
}

extension SimulatedClient {
  var name: String { "client \(number) (\(kind) \(asking.route) at \(gateway), \(mode.isEmpty ? "-" : mode))" }
}
