import SSE
import Streams
import Telemetry
package import Time

/// An event stream that ended badly.
package struct BadEnd: Sendable {
  /// Its place among those of its loop.
  package let number: Int
  package let at: WallTime
  package let stream: String
  package let route: String
  package let mode: String
  package let outcome: String
  package let reason: String
  /// The setting whose time was over, if that ended it.
  package let limit: String?
  package let trace: String?
  package let request: String
  package let upstream: String
  package let events: UInt64
  package let bytes: UInt64
  package let milliseconds: Double
  package let worker: Int
}

/// The streams of one loop that ended badly last, for the dashboard.
package final class BadEnds {
  /// How many are remembered.
  package static let limit = 200

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
  package func after(_ number: Int) -> [BadEnd] {
    ends.filter { $0.number > number }.sorted { $0.number < $1.number }
  }
}
