package import Harness
internal import Time

/// What the backend does in one cell, and the whole events that it has sent by then.
package struct Play: Sendable {
  package private(set) var steps: [Script.Step] = [.head()]
  package private(set) var sent: [ReceivedEvent] = []

  /// What the first upstream does, where a route has two.
  package var first: Script?

  package var script: Script { Script(steps) }

  /// Sends each event in a write of its own, and waits after it.
  mutating func say(_ events: [ReceivedEvent], pause: Nanoseconds = .milliseconds(15)) {
    for event in events {
      steps.append(.event(event.type == "message" ? nil : event.type, event.data, id: event.id))
      if pause > .zero { steps.append(.pause(pause)) }
    }
    sent += events
  }

  /// Sends events that the client does not get any more.
  mutating func sayLater(_ events: [ReceivedEvent]) {
    let known = sent
    say(events)
    sent = known
  }

  /// Sends bytes that hold these events.
  mutating func write(_ step: Script.Step, holding events: [ReceivedEvent]) {
    steps.append(step)
    sent += events
  }

  /// Sends the events again and again, as fast as they are taken.
  mutating func `repeat`(_ events: [ReceivedEvent], times: Int) {
    let round = events.map { Script.Step.event($0.type == "message" ? nil : $0.type, $0.data, id: $0.id) }
    steps.append(.repeated(count: times, interval: .zero, round))
    for _ in 0..<times { sent += events }
  }

  mutating func then(_ step: Script.Step) { steps.append(step) }
}
