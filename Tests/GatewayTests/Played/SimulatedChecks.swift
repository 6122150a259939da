import Gateway
import Loop
import Runs
import Streams

// What must always be so.
extension SimulatedWorld {
  /// Takes note of what has come to backends and clients, and checks it.
  func observe() {
    for (index, gateway) in gateways.enumerated() {
      for connection in gateway.backends.connections {
        // A head that came in two pieces would be seen by its second.
        for head in connection.takeReceived().split(separator: "\r\n\r\n") {
          let answer = SimulatedAnswer(number: answers.count, on: connection, of: index, head: String(head))
          answers.append(answer)
          checkEffect(of: answer)
        }
      }
    }
    for client in clients {
      let hasNews = client.receive()
      check(client, hasNews: hasNews)
    }
    if isSettled { checkKeys() }
  }

  private func check(_ client: SimulatedClient, hasNews: Bool) {
    switch client.kind {
    case .asks, .goesOn: if client.isStream, !client.isCounted { checkReader(client, hasNews: hasNews) }
    case .looks: if client.isOver, !client.isCounted { checkLook(client) }
    case .stops:
      if client.isOver, client.isForeign, client.status == 204 { fail("a stranger stopped \(client.wanted)") }
    }
    if client.isForeign, client.kind == .looks, client.status == 200 { fail("a stranger looked at \(client.wanted)") }
    if client.queuedBytes > 256 << 10 { fail("\(client.name) has \(client.queuedBytes) bytes waiting") }
  }

  // MARK: - Readers

  private func find(_ client: SimulatedClient) {
    if let worker = workers[client.asking.route] {
      client.answer = worker
      return
    }
    let start = String(decoding: client.body.prefix(1024), as: UTF8.self)
    let byMark = start.contains("<b") ? answers.last { start.contains($0.mark) } : nil
    client.isSure = byMark != nil
    let own = answers.last { $0.client == client.number && $0.isStream }
    client.answer = byMark ?? (client.asking.isKept ? streams[client.stream] : nil) ?? own
    guard client.asking.isKept, let answer = byMark ?? own else { return }
    if let known = streams[client.stream], known !== answer, byMark != nil, known.body.count > 0, answer.body.count > 0,
      known.events.count > 0
    {
      fail("\(client.name): stream \(client.stream) has events of two backends' answers")
    }
    streams[client.stream] = answer
  }

  private func checkReader(_ client: SimulatedClient, hasNews: Bool) {
    if client.answer == nil || (hasNews && !client.isSure) { find(client) }
    if client.mode == "graceful", !client.asking.prefersEnd, client.wanted.isEmpty {
      fail("\(client.name) is graceful and did not ask for it")
    }
    switch client.mode {
    case "graceful": checkGraceful(client)
    case "shield": checkShield(client)
    default: if hasNews || client.isOver { checkLegacy(client) }
    }
    if hasNews { checkIsStored(client) }
    if client.isOver { client.isCounted = true }
  }

  private func checkGraceful(_ client: SimulatedClient) {
    client.reading.take(client.body, stream: client.stream)
    while client.reading.checked < client.reading.blocks.count {
      let block = client.reading.blocks[client.reading.checked]
      client.reading.checked += 1
      if !client.reading.ends.isEmpty { fail("\(client.name) got \(block.name)|\(block.data) after stream_end") }
      if block.name == "stream_end" {
        client.reading.ends.append(block)
        checkEnd(client, block)
      } else if block.name == "stream_reset" {
        if client.had == nil, !client.isForeign, plan.window == 0 { fail("\(client.name) was reset for nothing") }
        client.reading.next = nil
      } else if !block.isGateways {
        checkEvent(client, block)
      }
    }
    guard client.ending != nil, !client.hasLeft, !client.wasStuck, !hardKills.contains(client.gateway) else { return }
    if client.reading.ends.count != 1 { fail("\(client.name) got \(client.reading.ends.count) stream_end") }
    if client.ending == .cut { fail("\(client.name) got stream_end and was cut") }
    if !client.reading.isWhole(client.body) { fail("\(client.name) ended in the middle of an event") }
  }

  private func checkEvent(_ client: SimulatedClient, _ block: SimulatedReading.Block) {
    guard let answer = client.answer else { return fail("\(client.name) got \(block.data.prefix(40)) of no backend") }
    if client.reading.next == nil {
      client.reading.next = block.number.map { $0 - 1 } ?? answer.events.firstIndex(of: block.lines)
    }
    let next = client.reading.next ?? 0
    client.reading.next = next + 1
    client.reading.seenEvents += 1
    if let number = block.number, number != next + 1 {
      fail("\(client.name) got event \(next + 1) with the number \(number)")
    }
    if next < answer.events.count, answer.events[next] == block.lines { return }
    let isPartial = answer.hasEndedWell && next == answer.events.count && block.lines.starts(with: answer.partial)
    if isPartial, !answer.partial.isEmpty {
      if !block.hasData {
        // Such a block is completed and passed on, and is no event.
        client.reading.next = next
        client.reading.seenEvents -= 1
      }
      return
    }
    fail(
      """
      \(client.name) got as event \(next + 1) of \(answer.mark): \(block.data.prefix(30)), and not \
      \(next < answer.events.count ? String(decoding: answer.events[next].prefix(40), as: UTF8.self) : "none")
      """)
  }

  private func checkEnd(_ client: SimulatedClient, _ block: SimulatedReading.Block) {
    let outcome = block.member("outcome")
    ends[client.stream, default: []].append((outcome, client))
    if hardKills.contains(client.gateway) == false, outcome.isEmpty { fail("\(client.name) has no outcome") }
    if let next = client.reading.next, client.answer != nil || next == 0, block.member("events") != "\(next)" {
      fail("\(client.name) had \(next) events, and stream_end says \(block.member("events")) (\(outcome))")
    }
    if client.reading.seenEvents > 0, block.member("lastEventId") != client.reading.lastID {
      fail("\(client.name) had \(client.reading.lastID) last, stream_end says \(block.member("lastEventId"))")
    }
    let answer = client.answer
    switch outcome {
    case "completed":
      if answer?.hasTerminal != true || (client.reading.next ?? .max) <= answer?.terminalIndex ?? 0 {
        fail("\(client.name) is told of a completion that was none")
      }
    case "incomplete": if answer?.hasEndedWell != true { fail("\(client.name): the backend had not ended") }
    case "upstream_truncated": if answer?.hasEndedWell == true { fail("\(client.name): the backend was not cut") }
    case "idle_timeout", "first_token_timeout", "cancelled", "draining", "replaced_by_new_stream": break
    // Where nobody had a stream yet, a reader elsewhere may have had its own opened early.
    case "gateway_error": if !storeWasBad, client.reading.seenEvents > 0 { fail("\(client.name) got a gateway_error") }
    default: break
    }
    checkOutcomes(of: client.stream)
  }

  /// All that are told how a run ended are told the same.
  func checkOutcomes(of stream: String) {
    var outcomes = Set((ends[stream] ?? []).filter { !$0.client.saysItself(of: $0.outcome, in: self) }.map(\.outcome))
    for look in looks[stream] ?? [] where look.state == "ended" { outcomes.insert(look.outcome) }
    if storeWasBad { outcomes.remove("gateway_error") }
    if outcomes.count > 1 { fail("stream \(stream) ended as \(outcomes.sorted())") }
  }

  private func checkLegacy(_ client: SimulatedClient) {
    guard let answer = client.answer else {
      if !client.body.isEmpty { fail("\(client.name) got bytes of no backend") }
      return
    }
    // One that went on from an id of the backend's own gets what comes behind that.
    let isPart =
      client.had == nil ? answer.body.starts(with: client.body) : answer.body.firstRange(of: client.body) != nil
    if !isPart { fail("\(client.name) got other bytes than \(answer.mark) sent") }
    guard let ending = client.ending, !client.hasLeft else { return }
    let isAll = answer.hasEndedWell && (client.had != nil || client.body.count == answer.body.count)
    if ending == .complete, !isAll {
      fail("\(client.name) ended cleanly with \(client.body.count) of \(answer.body.count) bytes")
    }
    if ending == .cut, answer.hasEndedWell, !isMeddled, plan.window == 0 {
      fail("\(client.name) was cut, but its backend was not")
    }
  }

  private func checkShield(_ client: SimulatedClient) {
    client.reading.take(client.body, stream: client.stream)
    guard let answer = client.answer else {
      if !client.reading.blocks.isEmpty { fail("\(client.name) got events of no backend") }
      return
    }
    let blocks = client.reading.blocks
    var places: [Int] = []
    for block in blocks {
      if block.isGateways { fail("\(client.name) got \(block.name)") }
      if let place = answer.events.indices.first(where: { answer.events[$0] == block.lines && !places.contains($0) }) {
        places.append(place)
      } else if answer.partial.isEmpty {
        fail("\(client.name) got \(block.data.prefix(40)), which is none or came before")
      }
    }
    client.reading.checked = blocks.count
    let isAll = answer.hasEndedWell && places.count == answer.events.count
    if client.ending == .complete, !client.hasLeft, !isAll, !hardKills.contains(client.gateway) {
      fail("\(client.name) ended cleanly with \(places.count) of \(answer.events.count) events")
    }
  }

  /// What is shown of a run that must be kept is in the store.
  private func checkIsStored(_ client: SimulatedClient) {
    guard let truth, client.asking.isKept, plan.mustKeep || !storeWasBad, client.mode == "graceful",
      let run = RunID(client.stream), let record = truth.runs[run], let next = client.reading.next
    else { return }
    let stored = record.blocks.count { $0.metadata.kind.isEvent }
    if next > stored { fail("\(client.name) has had \(next) events, of which \(stored) are stored") }
  }

  // MARK: - Runs

  private func checkLook(_ client: SimulatedClient) {
    client.isCounted = true
    guard client.status == 200 else { return }
    let block = SimulatedReading.Block(lines: [], data: String(decoding: client.body, as: UTF8.self))
    let outcome = block.member("outcome")
    let look = Look(
      begun: lookBegan[client.number] ?? 0, ended: now, gateway: client.gateway, state: block.member("state"),
      sequence: Int(block.member("sequence")) ?? 0, outcome: outcome == "null" ? "" : outcome)
    if (look.state == "ended") == look.outcome.isEmpty { fail("\(client.wanted): \(look.state) with \(look.outcome)") }
    let order = ["opening", "running", "ended"]
    for old in looks[client.wanted] ?? [] where old.ended < look.begun {
      let (was, state) = (order.firstIndex(of: old.state) ?? 0, order.firstIndex(of: look.state) ?? 0)
      let isSame = old.gateway == look.gateway
      if state < was, isSame || !storeWasBad { fail("\(client.wanted) was \(old.state), and is \(look.state)") }
      if look.sequence < old.sequence, isSame, !storeWasBad {
        fail("\(client.wanted) had \(old.sequence) events, and has \(look.sequence)")
      }
    }
    looks[client.wanted, default: []].append(look)
    checkOutcomes(of: client.wanted)
  }

  /// A request that has an effect is begun by one backend, unless the route says otherwise.
  private func checkEffect(of answer: SimulatedAnswer) {
    guard answer.client >= 0, answer.client < clients.count else { return fail("a backend got a request of nobody") }
    let client = clients[answer.client]
    guard answer.method == "POST", plan.gate == "head" || !client.asking.hasGate else { return }
    let begun = answers.filter { $0.client == answer.client && !$0.hasRefused }
    if begun.count > 1 { fail("\(client.name): \(begun.count) backends began its request") }
  }

  /// One key has one run, as long as that is known.
  private func checkKeys() {
    guard !storeWasBad, truth?.holdsBack.isEmpty != false else { return }
    let keyed = clients.filter {
      $0.kind == .asks && $0.asking.isKept && $0.asking.key != nil && !$0.asking.user.isEmpty
    }
    let groups = Dictionary(grouping: keyed) { "\($0.asking.user) \($0.asking.key ?? 0)" }
    for (name, group) in groups {
      let numbers = Set(group.map(\.number))
      let live = answers.filter { numbers.contains($0.client) && $0.isLive }
      if live.count > 1 { fail("\(name): \(live.count) runs at once") }
      let known = Set(group.filter { $0.isStream && !isForgotten($0.stream) }.map(\.stream))
      if known.count > 1 { fail("\(name): \(known.count) runs of one key") }
    }
  }

  private func isForgotten(_ stream: String) -> Bool {
    expired.contains(stream) || elapsed > 55_000 || !drained.isEmpty
      || truth.map { truth in RunID(stream).map { truth.runs[$0] == nil } ?? true } ?? false
  }

  // MARK: - The end

  func checkRest(deadlines: [Int], memory: Int) {
    for (index, gateway) in gateways.enumerated() {
      if gateway.loop.deadlines.count != deadlines[index] {
        fail("loop \(index) has \(gateway.loop.deadlines.count) deadlines, and had \(deadlines[index])")
      }
      let numbers = gateway.numbers
      let resting = [
        "ai_stream_connections_active", "ai_stream_clients_gauge", "fermata_runs_active", "fermata_run_log_bytes",
      ]
      for (name, value) in numbers where value != 0 {
        let isHeld = name.hasPrefix("fermata_bound_used") && !name.contains("stored")
        if isHeld || resting.contains(name) || name.hasPrefix("fermata_unaccounted") { fail("\(name) is \(value)") }
      }
      func sum(_ name: String) -> Double { numbers.filter { $0.key.hasPrefix(name) }.values.reduce(0, +) }
      if sum("fermata_streams_total") != sum("fermata_outcomes_total") {
        fail("\(sum("fermata_streams_total")) streams opened, \(sum("fermata_outcomes_total")) ended")
      }
      if let open = gateway.backends.connections.firstIndex(where: { !$0.isClosed }) {
        fail("a connection to a backend, number \(open) of \(index), is open")
      }
      if gateway.process.memoryInUse != memory { fail("runs hold \(gateway.process.memoryInUse) bytes") }
    }
    // What a store that is away is not told, the end of a lease tells, or whoever asks next.
    guard let truth, !storeWasBad else { return }
    for (run, record) in truth.runs {
      if record.owner != nil { fail("run \(run) has an owner") }
      if record.meta?.source == .gateway, record.end == nil { fail("run \(run) has no end") }
      if record.readers.values.reduce(0, +) != 0 { fail("run \(run) has readers: \(record.readers.values)") }
    }
  }

  func checkLog() {
    let lines = log.take()
    let done = lines.filter { $0.member("event") == "request_done" }
    if done.count != clients.count { fail("\(clients.count) requests, \(done.count) lines request_done") }
    if Set(done.map { $0.member("requestId") }).count != done.count { fail("a request has two lines") }
    let opened = lines.filter { $0.member("event") == "stream_opened" }
    let ended = done.filter { !$0.member("outcome").isEmpty }
    if opened.count != ended.count { fail("\(opened.count) streams opened by the log, \(ended.count) ended") }
    for line in done where !line.member("streamId").isEmpty && line.member("outcome").isEmpty {
      fail("a stream's line has no outcome")
    }
  }
}

extension SimulatedAsking {
  /// Whether its route keeps runs.
  var isKept: Bool { route == "/kept" || route == "/tried" }
  /// Whether it can be read again, from any place.
  var isResumable: Bool { isKept || route.hasPrefix("/api") }
  var hasGate: Bool { route == "/tried" || route == "/pair" }
}

extension SimulatedClient {
  /// Whether that is how it ended itself, and not how its run did.
  fileprivate func saysItself(of outcome: String, in world: SimulatedWorld) -> Bool {
    outcome == "replaced_by_new_stream" || (outcome == "draining" && world.drained.contains(gateway))
      || !asking.isResumable
  }
}
