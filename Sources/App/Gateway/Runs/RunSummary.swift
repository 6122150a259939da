import JSON
package import Runs
import SSE
package import Streams
import Time

/// How a run stands, for `GET` of its path.
package struct RunSummary: Sendable {
  /// `nil` for a worker's run that nobody has read yet.
  var stream: StreamID?
  /// `ended` only together with its end.
  package var state: RunStatus.Phase
  package var sequence: UInt64
  var readers: Int
  package var attempts: Int
  package var end: EndRecord?
  /// From its beginning until now, or until its end; `nil` when that is not known.
  var milliseconds: Int?

  var document: JSONValue {
    [
      "streamId": stream.map { .string($0.description) } ?? .null, "state": .string(state.rawValue),
      "sequence": JSONValue(Int(clamping: sequence)), "readers": JSONValue(readers), "attempts": JSONValue(attempts),
      "outcome": end.map { .string($0.outcome.rawValue) } ?? .null,
      "reason": end.map { .string($0.reason) } ?? .null, "milliseconds": milliseconds.map { JSONValue($0) } ?? .null,
    ]
  }
}

extension RunSummary {
  /// What the store tells of a run of another replica, or of a worker.
  init(_ known: RunState, _ standing: RunStanding, at now: Int64) {
    let progress = standing.status.progress
    stream = known.meta?.stream
    // The end is an entry too, and behind all others where the run's gateway has not written it.
    let entries = known.meta?.source == .gateway ? known.last?.high ?? 0 : standing.entries
    sequence = known.end.map { entries == .max ? $0.events : entries - min(entries, 1) } ?? entries
    // The log is the truth. What the owner says may come later than its entries, and never if it is killed in between;
    // or earlier than the end, which nobody has been told of until it is stored.
    if known.end != nil {
      state = .ended
    } else if known.last != nil || progress?.phase == .running || progress?.phase == .ended {
      state = .running
    } else {
      state = .opening
    }
    readers = standing.status.readers
    attempts = progress?.attempts ?? 0
    end = known.end
    milliseconds = progress?.milliseconds ?? Self.age(known, at: now)
  }

  private static func age(_ known: RunState, at now: Int64) -> Int? {
    guard let meta = known.meta else { return nil }
    guard known.end != nil else { return Int(max(0, now - meta.created.milliseconds)) }
    // Redis gives a worker's entries the time as their id; a gateway's owner has told it, or is gone.
    guard meta.source == .worker, let last = known.last else { return nil }
    return Int(clamping: max(0, Int64(clamping: last.high) - meta.created.milliseconds))
  }
}
