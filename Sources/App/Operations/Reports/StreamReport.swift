import Gateway
import JSON
import Loop
import SSE
import Streams
import Telemetry
import Time

/// One open stream, or a request that waits for its answer, for `/streams`.
struct StreamReport: Sendable {
  let request: String
  let trace: String?
  let route: String
  let client: String
  let path: String
  let upstream: String?
  /// Attempts that gave no good response, in their order.
  let attempts: [Attempt]
  /// From the request to the head of the answer, in milliseconds.
  let head: Double?
  /// From the request to the first event that bears data, in milliseconds.
  let firstEvent: Double?
  /// Since the request came.
  let age: Double
  let worker: Int
  var stream: OpenPart?

  struct Attempt: Sendable {
    let upstream: String
    let reason: String
    let milliseconds: Int

    var json: JSONValue {
      ["upstream": .string(upstream), "reason": .string(reason), "milliseconds": JSONValue(milliseconds)]
    }
  }

  /// What only a stream has.
  struct OpenPart: Sendable {
    let id: String
    let mode: String
    let capability: String
    let flagVersion: String
    /// Since something else than a comment line was sent last.
    let silence: Double
    let isPaused: Bool
    let events: UInt64
    let bytes: UInt64
    let queued: Int
  }

  var asJSON: JSONValue {
    var object = JSONObject()
    if let stream {
      object["streamId"] = .string(stream.id)
      object["mode"] = .string(stream.mode)
      object["capability"] = .string(stream.capability)
      object["flags"] = .string(stream.flagVersion)
      object["silenceMilliseconds"] = .number(stream.silence)
      object["isPaused"] = .bool(stream.isPaused)
      object["events"] = .number(Double(stream.events))
      object["bytes"] = .number(Double(stream.bytes))
      object["queuedBytes"] = JSONValue(stream.queued)
    }
    object["requestId"] = .string(request)
    object["traceId"] = trace.map { .string($0) } ?? .null
    object["route"] = .string(route)
    object["client"] = .string(client)
    object["path"] = .string(path)
    object["upstream"] = upstream.map { .string($0) } ?? .null
    object["attempts"] = .array(attempts.map(\.json))
    object["headMilliseconds"] = head.map { .number($0.rounded()) } ?? .null
    object["firstEventMilliseconds"] = firstEvent.map { .number($0.rounded()) } ?? .null
    object["ageMilliseconds"] = .number(age)
    object["worker"] = JSONValue(worker)
    return .object(object)
  }
}

/// What one loop serves.
struct StreamList: Sendable {
  /// All of them, listed or not.
  var open = 0
  var waitingCount = 0
  var streams: [StreamReport] = []
  var waiting: [StreamReport] = []
  var isCut: Bool { streams.count < open || waiting.count < waitingCount }
}

extension ClientRoster {
  /// The open streams and the requests that wait, the first `limit` of each.
  func describeStreams(limit: Int) -> StreamList {
    let now = context.loop.readClock()
    var list = StreamList()
    forEachExchange { exchange, client in
      if let stream = exchange.stream {
        list.open += 1
        guard list.streams.count < limit else { return }
        list.streams.append(describe(exchange, stream, queued: client.queuedBytes, at: now))
      } else if exchange.isWaiting {
        list.waitingCount += 1
        if list.waiting.count < limit { list.waiting.append(describe(exchange, at: now)) }
      }
    }
    return list
  }

  /// - Parameter queued: bytes that its client has not taken.
  func describe(
    _ exchange: any ClientExchange, _ stream: ClientDelivery, queued: Int, at now: MonotonicTime
  ) -> StreamReport {
    var report = describe(exchange, at: now)
    var isPaused = false
    if case .paused = exchange.backend { isPaused = true }
    report.stream = StreamReport.OpenPart(
      id: stream.id.description, mode: stream.mode.rawValue, capability: stream.capability.source.rawValue,
      flagVersion: stream.flagVersion, silence: max(0, (now - stream.lastSentAt).milliseconds), isPaused: isPaused,
      events: stream.events, bytes: stream.bodyBytes, queued: queued)
    return report
  }

  private func describe(_ exchange: any ClientExchange, at now: MonotonicTime) -> StreamReport {
    let record = exchange.record
    return StreamReport(
      request: record.id, trace: record.trace?.description, route: exchange.routeName ?? "", client: record.client,
      path: record.path, upstream: record.upstream,
      attempts: record.attempts.map {
        .init(
          upstream: $0.upstream, reason: $0.report.fault.status.map { "status \($0)" } ?? $0.report.fault.reason,
          milliseconds: $0.report.milliseconds)
      },
      head: record.headAt.map { ($0 - record.openedAt).milliseconds },
      firstEvent: record.firstEventAt.map { ($0 - record.openedAt).milliseconds },
      age: (now - record.openedAt).milliseconds, worker: context.index)
  }
}
