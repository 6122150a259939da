import SSE
import Streams
import Telemetry
import Time

/// An event stream that ended badly.
struct BadEnd: Sendable {
  /// Its place among those of its loop.
  let number: Int
  let at: WallTime
  let stream: String
  let route: String
  let mode: String
  let outcome: String
  let reason: String
  /// The setting whose time was over, if that ended it.
  let limit: String?
  let trace: String?
  let request: String
  let upstream: String
  let events: UInt64
  let bytes: UInt64
  let milliseconds: Double
  let worker: Int
}

/// The streams of one loop that ended badly last, for the dashboard.
final class BadEnds {
  /// How many are remembered.
  static let limit = 200

  /// A ring: the oldest makes room for the newest.
  private var ends: [BadEnd] = []
  private var endCount = 0
  private let worker: Int

  init(worker: Int) {
    self.worker = worker
  }

  func closed(_ stream: ClientDelivery, outcome: Outcome, reason: String, after milliseconds: Double, at now: WallTime)
  {
    guard outcome.isBad else { return }
    let place = endCount % Self.limit
    endCount += 1
    let end = BadEnd(
      number: endCount, at: now, stream: stream.id.description, route: stream.route, mode: stream.mode.rawValue,
      outcome: outcome.rawValue, reason: reason.utf8.count <= 200 ? reason : String(reason.prefix(200)),
      limit: TimeLimit(endingOf: reason)?.rawValue, trace: stream.record?.trace?.description,
      request: stream.record?.id ?? "", upstream: stream.record?.upstream ?? "", events: stream.events,
      bytes: stream.bodyBytes, milliseconds: milliseconds, worker: worker)
    if place < ends.count { ends[place] = end } else { ends.append(end) }
  }

  /// The bad ends that came after the one of that number, the oldest first.
  func after(_ number: Int) -> [BadEnd] {
    ends.filter { $0.number > number }.sorted { $0.number < $1.number }
  }
}
