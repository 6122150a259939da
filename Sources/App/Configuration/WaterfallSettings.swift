import HTTP
import JSON
package import Streams
package import Time

/// What routes have where they say nothing else: `defaults` in the file.
struct RouteDefaults {
  var waterfall = WaterfallPolicy()
  /// Bytes of a request's body that are kept for another attempt.
  var replayLimit = 1 << 20
  var cors: CORSPolicy?
  var health = HealthPolicy()

  init(_ reader: JSONReader?) {
    guard let reader else { return }
    waterfall.read(reader)
    replayLimit = reader.replayLimit(default: replayLimit)
    cors = CORSPolicy.read(reader, default: nil)
    if let inner = reader.nested("health") { health.read(inner) }
  }
}

extension JSONReader {
  /// 0: bodies are never kept, so there is one attempt for a request that has one.
  func replayLimit(default fallback: Int) -> Int {
    byteSize("replayLimit", in: 0...1 << 30) ?? fallback
  }
}

extension WaterfallPolicy {
  /// Reads `gate`, `budget`, `answerBudget`, `commitAfter`, `commitInLegacy`, `preambleLimit`, `retry` and `timeouts`.
  mutating func read(_ reader: JSONReader) {
    gate = reader.choice("gate") ?? gate
    budget = reader.duration("budget", default: budget)
    answerBudget = reader.duration("answerBudget", default: answerBudget)
    commitAfter = reader.duration("commitAfter", default: commitAfter)
    commitsInLegacy = reader.bool("commitInLegacy", default: commitsInLegacy)
    preambleLimit = reader.byteSize("preambleLimit", in: 1024...16 << 20) ?? preambleLimit
    if let inner = reader.nested("retry") { retry.read(inner) }
    timeouts = TimeoutSettings(reader.nested("timeouts")).resolved(over: timeouts)
  }

  var members: [JSONObject.Member] {
    [
      .init(name: "gate", value: .string(gate.rawValue)), .init(name: "budget", value: .string(budget.text)),
      .init(name: "answerBudget", value: .string(answerBudget.text)),
      .init(name: "commitAfter", value: .string(commitAfter.text)),
      .init(name: "commitInLegacy", value: .bool(commitsInLegacy)),
      .init(name: "preambleLimit", value: JSONValue(preambleLimit)),
      .init(name: "retry", value: retry.document),
      .init(name: "timeouts", value: TimeoutSettings(timeouts).document),
    ]
  }
}

/// Time limits of an attempt, as far as they are set: an upstream's go over its route's.
package struct TimeoutSettings: Sendable, Equatable {
  package var connect: Nanoseconds?
  package var head: Nanoseconds?
  package var answer: Nanoseconds?
  package var firstEvent: Nanoseconds?
  package var firstToken: Nanoseconds?

  package init() {}

  init(_ all: AttemptTimeouts) {
    connect = all.connect
    head = all.head
    answer = all.answer
    firstEvent = all.firstEvent
    firstToken = all.firstToken
  }

  init(_ reader: JSONReader?) {
    guard let reader else { return }
    // A connection that is never given up would never be tried elsewhere.
    connect = reader.duration("connect", in: .milliseconds(10)...Nanoseconds.seconds(300))
    head = reader.duration("head")
    answer = reader.duration("answer")
    firstEvent = reader.duration("firstEvent")
    firstToken = reader.duration("firstToken")
  }

  package func resolved(over defaults: AttemptTimeouts) -> AttemptTimeouts {
    var result = defaults
    result.connect = connect ?? defaults.connect
    result.head = head ?? defaults.head
    result.answer = answer ?? defaults.answer
    result.firstEvent = firstEvent ?? defaults.firstEvent
    result.firstToken = firstToken ?? defaults.firstToken
    return result
  }

  var document: JSONValue {
    var object = JSONObject()
    object["connect"] = connect.map { .string($0.text) }
    object["head"] = head.map { .string($0.text) }
    object["answer"] = answer.map { .string($0.text) }
    object["firstEvent"] = firstEvent.map { .string($0.text) }
    object["firstToken"] = firstToken.map { .string($0.text) }
    return .object(object)
  }
}
