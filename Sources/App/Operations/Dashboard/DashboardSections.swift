import Configuration
import Files
import FlagControl
import Flags
import Gateway
import HTTP
import JSON
import Loop
import Runs
import Streams
import Time

/// What the dashboard says, section by section.
extension ControlRoom {
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
    gateway.gather(
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
    let backends = Self.backends(views)
    let sections: [(String, JSONValue)] = [
      ("state", stateSection(views)), ("wrong", .array(conditions(views, backends))), ("routes", routesSection(views)),
      ("backends", .array(backends)), ("ended", .array(dashboard.ends.map(\.json))),
      ("runs", RunReport.document(views.map(\.runs))), ("rollout", rolloutSection(views)),
      ("config", configurationDocument),
    ]
    return sections.map { (name: $0.0, text: $0.1.text()) }
  }

  private func stateSection(_ views: [WorkerView]) -> JSONValue {
    let silent = gateway.silentWorkers(for: Self.readinessLimit)
    return [
      "version": .string(gateway.build.version), "commit": .string(gateway.build.commit),
      "startedAt": .string(gateway.startedAt.rfc3339),
      "now": .string(loop.wallTime().rfc3339), "workers": JSONValue(gateway.workers.count),
      "silent": .array(silent.map(\.document)), "answered": JSONValue(views.count),
      "draining": .bool(gateway.isDraining),
      "drainLeftSeconds": gateway.drainLeft.map { .number($0.seconds.rounded()) } ?? .null,
      "flags": .string(gateway.flags.current.version), "killed": killInForce.map { .string($0) } ?? .null,
      "guard": .string(gateway.guardKeeper.machine.effect == .none ? "none" : "\(gateway.guardKeeper.machine.effect)"),
      "operate": .bool(gateway.settings.configuration.admin.operate),
      "clients": JSONValue(views.reduce(0) { $0 + $1.clients }),
    ]
  }

  private func routesSection(_ views: [WorkerView]) -> JSONValue {
    var names = gateway.settings.configuration.routes.map(\.name)
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
          "firstEventP95": recent.firstEventP95.map { .number($0.rounded()) } ?? .null, "answers": sum.statuses.json,
        ]
      })
  }

  static func backends(_ views: [WorkerView]) -> [JSONValue] {
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
      object["since"] = out.compactMap(\.changedAt).min { $0 < $1 }.map { .string($0.rfc3339) } ?? .null
      object["lastFault"] = own.compactMap(\.lastFault).max { $0.at < $1.at }?.json ?? .null
      var statuses = StatusCounts()
      for report in own { statuses.add(report.statuses) }
      object["answers"] = statuses.json
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

  private func rolloutSection(_ views: [WorkerView]) -> JSONValue {
    var shadow = ShadowTally()
    for view in views { shadow.add(view.shadow) }
    return [
      "version": .string(gateway.flags.current.version), "loadedAt": .string(gateway.flags.current.loadedAt.rfc3339),
      "fault": gateway.flags.fault.map { .string($0) } ?? .null, "kill": killDocument,
      "guard": gateway.guardKeeper.report,
      "shadow": shadow.json,
    ]
  }
}

extension BadEnd {
  fileprivate var json: JSONValue {
    [
      "at": .string(at.rfc3339), "id": .string(stream), "route": .string(route), "mode": .string(mode),
      "outcome": .string(outcome), "reason": .string(reason), "limit": limit.map { .string($0) } ?? .null,
      "trace": trace.map { .string($0) } ?? .null,
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
      "paused": .bool(stream?.isPaused ?? false), "path": .string(path),
      "head": head.map { .number($0.rounded()) } ?? .null,
      "first": firstEvent.map { .number($0.rounded()) } ?? .null, "attempts": .array(attempts.map(\.json)),
    ]
  }
}
