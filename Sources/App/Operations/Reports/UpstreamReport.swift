import Configuration
import Gateway
import HTTP
import JSON
import Loop
import Streams
import Time

/// A backend as one worker knows it, for `/upstreams`.
struct UpstreamReport: Sendable {
  let worker: Int
  let name: String
  let url: String
  let state: UpstreamHealth.State
  let counts: UpstreamHealth.Counts
  let failuresInRow: Int
  let busy: Int
  let idle: Int
  /// Until it is asked again; `nil` when it may be asked now, or when its checks decide.
  let comesBackIn: Nanoseconds?
  /// Of its answers, good or not.
  let statuses: StatusCounts
  let lastFault: LastFault?
  /// When the worker last saw its state change.
  let changedAt: WallTime?

  /// The backends in the order of the configuration, each with what every worker knows of it.
  static func document(_ reports: [[UpstreamReport]]) -> JSONValue {
    let names = reports.first?.map(\.name) ?? []
    let all = reports.flatMap { $0 }
    return [
      "upstreams": .array(
        names.map { name in
          let own = all.filter { $0.name == name }.sorted { $0.worker < $1.worker }
          return [
            "name": .string(name), "url": .string(own.first?.url ?? ""), "workers": .array(own.map(\.asJSON)),
          ]
        })
    ]
  }

  private var asJSON: JSONValue {
    var object = JSONObject()
    object["worker"] = JSONValue(worker)
    object["state"] = .string(state.label.rawValue)
    if case .available(let factor) = state, factor < 1 { object["weightFactor"] = .number(factor) }
    object["comesBackInMilliseconds"] = comesBackIn.map { JSONValue(Int($0.milliseconds)) }
    object["busy"] = JSONValue(busy)
    object["idleConnections"] = JSONValue(idle)
    object["failuresInRow"] = JSONValue(failuresInRow)
    object["successes"] = JSONValue(counts.successes)
    object["failures"] = JSONValue(counts.failures)
    object["truncations"] = JSONValue(counts.truncations)
    object["ejections"] = JSONValue(counts.ejections)
    object["coolDowns"] = JSONValue(counts.coolDowns)
    object["checksPassed"] = JSONValue(counts.checksPassed)
    object["checksFailed"] = JSONValue(counts.checksFailed)
    object["answers"] = statuses.json
    object["lastFault"] = lastFault?.json ?? .null
    object["stateSince"] = changedAt.map { .string($0.rfc3339) } ?? .null
    return .object(object)
  }
}

extension Worker {
  func describeUpstreams() -> [UpstreamReport] {
    let now = context.loop.readClock()
    return settings.pools.map { pool in
      let state = pool.health.state(at: now)
      let back: MonotonicTime? =
        switch state {
        case .coolingDown(let until), .ejected(let until): until
        case .available, .unhealthy: nil
        }
      return UpstreamReport(
        worker: context.index, name: pool.settings.name, url: pool.settings.url.description, state: state,
        counts: pool.health.counts, failuresInRow: pool.health.failuresInRow, busy: pool.busy, idle: pool.idleCount,
        comesBackIn: back.map { $0 - now }, statuses: pool.statuses, lastFault: pool.lastFault,
        changedAt: pool.changedAt)
    }
  }
}

extension LastFault {
  var json: JSONValue {
    ["at": .string(at.rfc3339), "reason": .string(word), "detail": detail.map { .string($0) } ?? .null]
  }
}
