import FermataClient
import Foundation

#if canImport(FoundationNetworking)
  import FoundationNetworking
#endif

/// One line of JSON: what to play.
struct Job: Decodable {
  struct Action: Decodable {
    enum CodingKeys: String, CodingKey {
      case afterEvents = "after_events"
      case afterMilliseconds = "after_ms"
      case what = "do"
    }

    var afterEvents: Int?
    var afterMilliseconds: Double?
    var what: String
  }

  var url: String
  var method: String
  var body: String?
  var headers: [[String]]?
  var dynamicHeaders: [[String]]?
  var options: [String: JSONValue]?
  var actions: [Action]?
  var consumerDelayMs: Double?
}

struct Answer: Encodable {
  struct Failure: Encodable {
    var code: String
    var status: Int?
    var retryAfterMs: Double?
  }

  struct Outcome: Encodable {
    var outcome: String
    var complete: Bool
    var verified: Bool
    var error: Failure?
    var lastEventId: String
    var bytes: Int
    var streamId: String?
    var mode: String?
  }

  var events: [[String]]
  var notices: [String]
  var result: Outcome
}

extension JSONValue {
  var duration: Duration? {
    switch self {
    case .integer(let number): .milliseconds(number)
    case .number(let number): .seconds(number / 1000)
    default: nil
    }
  }
}

func options(of job: Job) -> StreamOptions {
  var options = StreamOptions()
  let given = job.options ?? [:]
  func time(_ name: String, _ set: (Duration) -> Void) {
    if let duration = given[name]?.duration { set(duration) }
  }
  func text(_ name: String, _ set: (String) -> Void) {
    if let text = given[name]?.string { set(text) }
  }
  time("headTimeoutMs") { options.headTimeout = $0 }
  time("firstTokenTimeoutMs") { options.firstTokenTimeout = $0 }
  time("deadTimeoutMs") { options.deadTimeout = .after($0) }
  time("endWaitMs") { options.endWait = $0 }
  time("hardEndWaitMs") { options.hardEndWait = $0 }
  time("drainMs") { options.drainWait = $0 }
  time("cancelWaitMs") { options.cancelWait = $0 }
  time("orderWaitMs") { options.orderWait = $0 }
  time("retryBaseMs") { options.retry.base = $0 }
  time("retryMaxMs") { options.retry.maximum = $0 }
  time("retryAfterMaxMs") { options.retry.maximumRetryAfter = $0 }
  text("streamPath") { options.streamPath = $0 }
  text("runPath") { options.runPath = $0 }
  text("lastEventId") { options.lastEventID = $0 }
  text("idempotencyKey") { options.idempotencyKey = $0 }
  text("profile") { options.profile = $0 == "feed" ? .feed : .answer }
  text("optIn") { options.optIn = $0 == "off" ? .off : .header }
  text("resume") { options.resume = $0 == "off" ? .off : $0 == "same-url" ? .sameURL : .automatic }
  text("order") { options.order = $0 == "index" ? .index : .arrival }
  text("filterStreamId") { options.filterStreamID = .only($0) }
  if given["filterStreamId"] == .bool(true) { options.filterStreamID = .first }
  if let number = given["maxRetries"]?.integer { options.retry.attempts = number }
  if let number = given["maxEventBytes"]?.integer { options.maximumEventBytes = number }
  if let dynamic = job.dynamicHeaders {
    options.headers = { attempt in
      let pair = dynamic[min(max(attempt, 1), dynamic.count) - 1]
      return [pair[0]: pair[1]]
    }
  }
  return options
}

func act(_ what: String, on stream: FermataStream) async {
  guard what != "close" else { return await stream.close() }
  await stream.cancelRun()
  if what == "cancel_twice" { await stream.cancelRun() }
}

func play(_ job: Job, _ client: FermataClient) async throws -> Answer {
  var request = URLRequest(url: URL(string: job.url) ?? URL(fileURLWithPath: "/"))
  request.httpMethod = job.method
  request.httpBody = job.body.map { Data($0.utf8) }
  for pair in job.headers ?? [] { request.setValue(pair[1], forHTTPHeaderField: pair[0]) }
  let stream = client.stream(request, options(of: job))
  var events: [[String]] = []
  let timers = (job.actions ?? []).compactMap { action in
    action.afterMilliseconds.map { delay in
      Task {
        try await Task.sleep(for: .seconds(delay / 1000))
        await act(action.what, on: stream)
      }
    }
  }
  do {
    for try await message in stream {
      switch message {
      case .event(let event): events.append([event.type, event.data, event.id])
      case .reset(let reset): events.append(["@reset", reset.reason])
      }
      for action in job.actions ?? [] where action.afterEvents == events.count {
        await act(action.what, on: stream)
      }
      if let delay = job.consumerDelayMs { try await Task.sleep(for: .seconds(delay / 1000)) }
    }
  } catch is FermataError {}
  for timer in timers { timer.cancel() }
  let result = await stream.result
  await stream.close()
  var notices: [String] = []
  for await state in stream.states {
    if case .late = state { notices.append("late") }
  }
  return Answer(events: events, notices: notices, result: outcome(of: result))
}

func outcome(of result: StreamResult) -> Answer.Outcome {
  let failure = result.error.map { error in
    Answer.Failure(
      code: error.code, status: error.status,
      retryAfterMs: error.retryAfter.map { Double($0.components.seconds) * 1000 })
  }
  return Answer.Outcome(
    outcome: result.outcome, complete: result.isComplete, verified: result.isVerified, error: failure,
    lastEventId: result.lastEventID, bytes: result.bytes, streamId: result.streamID, mode: result.mode)
}

let features = [
  "feed", "resume", "post", "cancel", "abort", "timers", "order", "filter", "dedupe", "redirect", "dynamic-headers",
  "unicode-id", "early-hints", "bytes", "backoff",
]

func line(_ value: some Encodable) throws {
  FileHandle.standardOutput.write(try JSONEncoder().encode(value) + Data("\n".utf8))
}

struct Hello: Encodable {
  var client = "FermataClient (Swift) 1.0.0"
  var features: [String]
}

try line(Hello(features: features))
let client = FermataClient()
while let text = readLine() {
  try line(try await play(JSONDecoder().decode(Job.self, from: Data(text.utf8)), client))
}
