import FermataClientCore

/// A machine and the time that passes.
struct Played {
  static let id = "K4iOEHrIqKEd8FsJcnNBlQ"
  static let plain = [(name: "Content-Type", value: "text/event-stream")]
  static let graceful = plain + [(name: "X-Stream-Mode", value: "graceful"), (name: "X-Stream-Id", value: id)]

  var machine: Machine
  var now = 1000.0
  var plan: RequestPlan

  init(_ method: String = "GET", _ change: (inout StreamOptions) -> Void = { _ in }) {
    var options = StreamOptions()
    options.retry.random = { 1 }
    change(&options)
    machine = Machine(method: method, url: "http://host/path?x=1", options: options)
    machine.start(now)
    plan = machine.plan(now)
  }

  mutating func head(_ status: Int = 200, _ fields: [(name: String, value: String)] = plain, retryAfter: Double? = nil)
  {
    machine.head(plan.exchange, now, Head(status: status, fields: fields), retryAfter: retryAfter)
  }

  mutating func data(_ text: String) { machine.data(plan.exchange, now, Array(text.utf8)) }
  mutating func over(clean: Bool = false) { machine.over(plan.exchange, now, clean: clean) }

  /// Time passes, and the timer fires when it should.
  mutating func wait(_ seconds: Double) {
    let end = now + seconds
    while let deadline = machine.deadline, deadline <= end {
      now = max(deadline, now)
      machine.tick(now)
    }
    now = end
  }

  /// Time passes, and nothing runs.
  mutating func sleep(_ seconds: Double) {
    now += seconds
    machine.tick(now)
  }

  /// The next request, once its pause is over.
  mutating func again() {
    wait(1000)
    plan = machine.plan(now)
  }

  mutating func taken() -> [String] {
    var all: [String] = []
    while let message = machine.take(now) {
      if case .event(let event) = message { all.append(event.data) }
    }
    return all
  }

  static func token(_ number: Int) -> String { "id: \(id).\(number)\nevent: token\ndata: \(number)\n\n" }

  static func end(_ outcome: String, _ events: Int) -> String {
    """
    event: stream_end
    data: {"type":"stream_end","outcome":"\(outcome)","events":\(events),"lastEventId":"\(id).\(events)"}


    """
  }
}
