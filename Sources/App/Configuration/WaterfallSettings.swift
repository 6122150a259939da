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
    Self.settings.read(reader, into: &self)
    if let inner = reader.nested("retry") { retry.read(inner) }
    timeouts = TimeoutSettings(reader.nested("timeouts")).resolved(over: timeouts)
  }

  package static let settings: [Setting<WaterfallPolicy>] = [
    .choice("gate", \.gate),
    .time("budget", \.budget),
    .time("answerBudget", \.answerBudget),
    .time("commitAfter", \.commitAfter),
    .switched("commitInLegacy", \.commitsInLegacy),
    .bytes("preambleLimit", \.preambleLimit, in: 1024...16 << 20),
  ]

  var members: [JSONObject.Member] {
    Self.settings.members(of: self) + [
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
    Self.settings.read(reader, into: &self)
  }

  package static let settings: [Setting<TimeoutSettings>] = [
    // A connection that is never given up would never be tried elsewhere.
    .time("connect", \.connect, in: .milliseconds(10)...Nanoseconds.seconds(300)),
    .time("head", \.head),
    .time("answer", \.answer),
    .time("firstEvent", \.firstEvent),
    .time("firstToken", \.firstToken),
  ]

  package func resolved(over defaults: AttemptTimeouts) -> AttemptTimeouts {
    var result = defaults
    result.connect = connect ?? defaults.connect
    result.head = head ?? defaults.head
    result.answer = answer ?? defaults.answer
    result.firstEvent = firstEvent ?? defaults.firstEvent
    result.firstToken = firstToken ?? defaults.firstToken
    return result
  }

  var document: JSONValue { Self.settings.document(of: self) }
}
