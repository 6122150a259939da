import Harness
import Time

/// What the demo's backend says, to everybody alike.
enum DemoAnswer {
  struct Event {
    let type: String
    let data: String
  }

  static let events = [
    Event(type: "token", data: "Hold the last"),
    Event(type: "token", data: "note until it"),
    Event(type: "token", data: "has been heard."),
    Event(type: "complete", data: "The answer is complete"),
    Event(type: "usage", data: "182 tokens"),
    Event(type: "title", data: "On fermatas"),
    Event(type: "status", data: "Task completed successfully"),
  ]

  /// Which of them is the completion event, at which old clients hang up.
  static let completion = 3
  /// Events behind it.
  static var trailing: Int { events.count - completion - 1 }

  /// The completion event on the wire.
  static var completionBytes: String {
    String(decoding: Script.event(events[completion].type, events[completion].data), as: UTF8.self)
  }

  /// The whole answer, an event every `pace`. The completion event has four times as long to itself: a client that hangs
  /// up at it is gone before the next one, on a busy machine too.
  static func script(pace: Nanoseconds) -> Script {
    let steps = events.indices.flatMap { index in
      let pause = Nanoseconds(pace.value * (index == completion ? 4 : 1))
      return [.event(events[index].type, events[index].data), .pause(pause)] as [Script.Step]
    }
    return Script([.head()] + steps + [.end])
  }

  /// The page's answer: long enough to press a button, and then what `script` has behind its completion event too.
  static func live(pace: Nanoseconds) -> Script {
    let words = """
      A fermata stands above the last note. Nobody leaves while it sounds: not the players, not the listeners, and not \
      the one who turns the pages. It ends when it has been heard.
      """.split(separator: " ")
    let steps = words.flatMap { [.event("token", String($0)), .pause(pace)] as [Script.Step] }
    let ending = events[completion...].flatMap { [.event($0.type, $0.data), .pause(pace)] as [Script.Step] }
    return Script([.head()] + steps + ending + [.end])
  }

  /// Answers `/hello` with one event, `/live` with the page's answer, the page's paths with its files, and anything
  /// else with the whole answer; `?pace=MS` says how fast.
  static let choose: @Sendable (RecordedRequest) -> Script = { request in
    if let page = DemoPage.answer(to: request.path) { return page }
    if request.path == "/hello" { return Script([.head(), .event("complete", "hello"), .end]) }
    let pace = request.query.split(separator: "&").first { $0.hasPrefix("pace=") }
    let milliseconds = pace.flatMap { Int($0.dropFirst(5)) } ?? 50
    let time = Nanoseconds.milliseconds(min(max(milliseconds, 0), 60_000))
    return request.path == "/live" ? live(pace: time) : script(pace: time)
  }
}

/// Who reads the answer.
enum DemoClient {
  /// Knows nothing of `stream_end` and hangs up at the completion event.
  case old
  /// Says that it understands `stream_end` and reads to the end.
  case new
  /// Knows nothing of `stream_end` and reads to the end.
  case patient

  func request(_ target: String) -> ClientRequest {
    switch self {
    case .old, .patient: ClientRequest("GET", target, fields: [.init("User-Agent", "demo-app/1.0")])
    case .new:
      ClientRequest("GET", target, fields: [.init("User-Agent", "demo-app/2.0"), .init("Prefer", "stream-end")])
    }
  }

  var behaviour: ClientBehaviour {
    var behaviour = self == .old ? ClientBehaviour.hangingUp(at: DemoAnswer.completionBytes) : ClientBehaviour()
    behaviour.timeout = .seconds(5)
    return behaviour
  }
}
