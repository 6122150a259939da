import Files
import Flags
import HTTP
import JSON
import Loop
import Runs
import Streams
import Time

/// What the dashboard says, section by section.
extension Gateway {
  private static let dashboardInterval = Nanoseconds.seconds(1)
  /// While nobody follows.
  private static let idleInterval = Nanoseconds.seconds(5)

  /// Asks the workers regularly, for as long as the process lives.
  func runDashboard() {
    let timer = Timer(loop: loop) { [unowned self] in
      gatherDashboard()
      runDashboard()
    }
    timer.schedule(after: dashboard.readers.isEmpty ? Self.idleInterval : Self.dashboardInterval)
    dashboard.timer = timer
  }

  func answerDashboardEvents(_ request: AdminRequest, _ respond: @escaping (AdminResponse) -> Void) {
    guard dashboard.readers.count < Dashboard.readerLimit else {
      return respond(StopRequest.refused(503, "\(Dashboard.readerLimit) follow already"))
    }
    let query = AdminQuery(request.query)
    var choice = StreamChoice()
    if let name = query["sort"] {
      guard let order = StreamChoice.Order(rawValue: name) else {
        return respond(StopRequest.refused(400, "sort is one of silence, age, queue, bytes"))
      }
      choice.order = order
    }
    choice.text = String((query["find"] ?? "").prefix(100))
    respond(
      AdminResponse(
        contentType: "text/event-stream",
        opensStream: { [unowned self, choice] stream in
          dashboard.join(stream, choice)
          gatherDashboard()
          runDashboard()
        }))
  }

  private func gatherDashboard() {
    let (choices, lastEnds) = (dashboard.choices, dashboard.lastEnds)
    gather(
      { $0.view(after: lastEnds[$0.context.index] ?? 0, choices: choices) },
      then: { [unowned self] views in
        dashboardSums = dashboard.take(views, at: loop.wallTime())
        guard !choices.isEmpty else { return }
        let views = views.sorted { $0.worker < $1.worker }
        let shared = sharedSections(views)
        dashboard.send { choice in
          shared + [(name: "streams", text: Self.streams(views, choice).text())]
        }
      })
  }

  private func sharedSections(_ views: [WorkerView]) -> [(name: String, text: String)] {
    let sections: [(String, JSONValue)] = [
      ("state", stateSection(views)), ("wrong", .array(conditions(views))), ("routes", routesSection(views)),
      ("backends", .array(Self.backends(views))), ("ended", .array(dashboard.ends.map(\.json))),
      ("runs", RunReport.document(views.map(\.runs))), ("rollout", rolloutSection), ("config", configurationDocument),
    ]
    return sections.map { (name: $0.0, text: $0.1.text()) }
  }

  private func stateSection(_ views: [WorkerView]) -> JSONValue {
    let silent = silentWorkers(for: Self.readinessLimit)
    return [
      "version": .string(build.version), "commit": .string(build.commit), "startedAt": .string(startedAt.rfc3339),
      "now": .string(loop.wallTime().rfc3339), "workers": JSONValue(workers.count),
      "silent": .array(silent.map(\.document)), "answered": JSONValue(views.count), "draining": .bool(isDraining),
      "drainLeftSeconds": drainLeft.map { .number($0.seconds.rounded()) } ?? .null,
      "flags": .string(flags.current.version), "killed": killInForce.map { .string($0) } ?? .null,
      "guard": .string(guardKeeper.machine.effect == .none ? "none" : "\(guardKeeper.machine.effect)"),
      "operate": .bool(settings.configuration.admin.operate),
      "clients": JSONValue(views.reduce(0) { $0 + $1.clients }),
    ]
  }

  private func routesSection(_ views: [WorkerView]) -> JSONValue {
    var names = settings.configuration.routes.map(\.name)
    let known = Set(names)
    names += dashboardSums.keys.filter { !known.contains($0) }.sorted()
    return .array(
      names.map { name in
        let sum = dashboardSums[name] ?? RouteTally()
        let recent = dashboard.history.recent(name, sum)
        return [
          "route": .string(name), "open": JSONValue(views.reduce(0) { $0 + ($1.open[name] ?? 0) }),
          "waiting": JSONValue(views.reduce(0) { $0 + ($1.waiting[name] ?? 0) }), "opened": JSONValue(sum.opened),
          "judged": JSONValue(recent.judged), "bad": JSONValue(recent.bad), "badTotal": JSONValue(sum.bad),
          "firstEventP95": recent.firstEventP95.map { .number($0.rounded()) } ?? .null,
        ]
      })
  }

  private static func backends(_ views: [WorkerView]) -> [JSONValue] {
    guard let names = views.first?.upstreams.map(\.name) else { return [] }
    let all = views.flatMap(\.upstreams)
    return names.map { name in
      let own = all.filter { $0.name == name }
      let out = own.filter { $0.state.label != .available }
      var object: JSONObject = ["name": .string(name), "url": .string(own.first?.url ?? "")]
      // One word for all workers: theirs, or which part of them has another.
      let words = Set(own.map(\.state.label.rawValue)).sorted()
      object["state"] = .string(words.count == 1 ? words[0] : "partly out")
      object["out"] = JSONValue(out.count)
      object["workers"] = JSONValue(own.count)
      let back = out.compactMap(\.comesBackIn).max()
      object["backInSeconds"] = back.map { .number(max(0, $0.seconds).rounded()) } ?? .null
      func sum(_ pick: (UpstreamReport) -> Int) -> JSONValue { JSONValue(own.reduce(0) { $0 + pick($1) }) }
      object["busy"] = sum(\.busy)
      object["idle"] = sum(\.idle)
      object["successes"] = sum(\.counts.successes)
      object["failures"] = sum(\.counts.failures)
      object["truncations"] = sum(\.counts.truncations)
      object["ejections"] = sum(\.counts.ejections)
      return .object(object)
    }
  }

  private static func streams(_ views: [WorkerView], _ choice: StreamChoice) -> JSONValue {
    let all = views.flatMap { $0.streams[choice] ?? [] }.sorted { $0.rank(choice.order) > $1.rank(choice.order) }
    return [
      "open": JSONValue(views.reduce(0) { $0 + $1.open.values.reduce(0, +) }),
      "matching": JSONValue(views.reduce(0) { $0 + ($1.matches[choice] ?? 0) }),
      "sort": .string(choice.order.rawValue), "find": .string(choice.text),
      "list": .array(all.prefix(StreamChoice.limit).map(\.json)),
    ]
  }

  private var rolloutSection: JSONValue {
    [
      "version": .string(flags.current.version), "loadedAt": .string(flags.current.loadedAt.rfc3339),
      "fault": flags.fault.map { .string($0) } ?? .null, "kill": killDocument, "guard": guardKeeper.report,
    ]
  }

  // MARK: What is wrong

  /// What an operator should look at, in sentences, each with the section that shows it.
  private func conditions(_ views: [WorkerView]) -> [JSONValue] {
    var found: [JSONValue] = []
    func add(_ text: String, _ place: String) { found.append(["text": .string(text), "place": .string(place)]) }
    for worker in silentWorkers(for: Self.readinessLimit) {
      add("Worker \(worker.index) has been silent for \(Int(worker.age.seconds)) s: its clients hang.", "state")
    }
    if views.count < workers.count { add("\(workers.count - views.count) worker(s) did not answer in time.", "state") }
    if isDraining { add("The gateway is draining: it ends when its streams have.", "state") }
    for (name, sum) in dashboardSums.sorted(by: { $0.key < $1.key }) {
      let recent = dashboard.history.recent(name, sum)
      guard recent.bad > 0, recent.judged < 20 || recent.bad * 20 > recent.judged else { continue }
      add("Route \(name): \(recent.bad) of \(recent.judged) streams ended badly in the last 5 minutes.", "ended")
    }
    for backend in Self.backends(views) where backend["state"]?.string != "available" {
      let name = backend["name"]?.string ?? ""
      add("Backend \(name) is not asked by \(backend["out"]?.integer ?? 0) of \(views.count) workers.", "backends")
    }
    for fault in standingFaults { add(fault.text, fault.place) }
    return found
  }

  private var standingFaults: [(text: String, place: String)] {
    var found: [(text: String, place: String)] = []
    if let fault = flags.fault { found.append(("The flag file was refused: \(fault)", "rollout")) }
    if let kill = killInForce { found.append(("The new closing is taken back \(kill).", "rollout")) }
    if guardKeeper.machine.effect != .none { found.append(("The guard has acted on the rollout.", "rollout")) }
    if configurationReloadFailed { found.append(("The last reload of the configuration was refused.", "config")) }
    if !restartNeeds.isEmpty {
      let paths = restartNeeds.map(\.path).joined(separator: ", ")
      found.append(("Settings wait for a restart: \(paths).", "config"))
    }
    if hub.store.fault != nil { found.append(("Redis is away: runs are not kept.", "runs")) }
    let dropped = logWriter.counts.dropped
    if dropped > 0 { found.append(("\(dropped) log lines were lost: nobody reads the log fast enough.", "state")) }
    return found
  }
}

extension BadEnd {
  fileprivate var json: JSONValue {
    [
      "at": .string(at.rfc3339), "id": .string(stream), "route": .string(route), "mode": .string(mode),
      "outcome": .string(outcome), "reason": .string(reason), "trace": trace.map { .string($0) } ?? .null,
      "request": .string(request), "upstream": .string(upstream), "events": .number(Double(events)),
      "bytes": .number(Double(bytes)), "ms": .number(milliseconds.rounded()),
      "worker": JSONValue(worker),
    ]
  }
}

extension StreamReport {
  fileprivate var json: JSONValue {
    [
      "id": .string(stream?.id ?? ""), "route": .string(route), "mode": .string(stream?.mode ?? ""),
      "trace": trace.map { .string($0) } ?? .null, "request": .string(request), "upstream": .string(upstream ?? ""),
      "client": .string(client), "age": .number(age.rounded()), "silence": .number((stream?.silence ?? 0).rounded()),
      "events": .number(Double(stream?.events ?? 0)), "bytes": .number(Double(stream?.bytes ?? 0)),
      "queued": JSONValue(stream?.queued ?? 0), "worker": JSONValue(worker),
    ]
  }
}
