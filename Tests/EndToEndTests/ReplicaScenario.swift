import EventSamples
import Harness
import JSON
import RunningGateway
import Synchronization
import Time

/// What happens to one run that two replicas share, drawn from a seed: how long it is and how it ends, who reads it where,
/// who leaves and comes back.
struct ReplicaScenario: Sendable, CustomStringConvertible {
  enum Ending: Sendable, Equatable {
    case whole
    /// The backend ends its connection and not its body.
    case unterminated
    /// The backend's connection breaks. What had not left the backend's kernel is lost with it.
    case broken
    /// Somebody stops the run so long after its first event was read.
    case stopped(after: Nanoseconds, gateway: Int)
  }

  struct Reader: Sendable, CustomStringConvertible {
    var gateway: Int
    var delay: Nanoseconds
    var leaves: [Leave]

    var description: String {
      "reader at \(gateway) after \(delay.milliseconds) ms" + leaves.map(\.description).joined()
    }
  }

  /// A reader leaves and comes back.
  struct Leave: Sendable, CustomStringConvertible {
    /// Since the answer's first byte.
    var after: Nanoseconds
    var resets: Bool
    /// How long it stays away, and to which gateway it returns.
    var away: Nanoseconds
    var gateway: Int
    /// Whether it repeats its request, and has all from the beginning, or asks for what lies behind an event.
    var repeats: Bool
    /// So many events before the last that it has.
    var rewind: Int

    var description: String {
      "; \(resets ? "breaks" : "closes") after \(after.milliseconds) ms, back at \(gateway) \(away.milliseconds) ms later"
        + (repeats ? " with its request" : " \(rewind) events before its last")
    }
  }

  let seed: UInt64
  let events: Int
  let interval: Nanoseconds
  /// Bytes behind each event's number.
  let padding: Int
  let ending: Ending
  let readers: [Reader]

  init(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    self.seed = seed
    events = 1 + random.below(random.pick([5, 40, 150]))
    interval = .milliseconds(random.pick([0, 1, 5, 20]))
    padding = random.pick([0, 0, 30, 2000])
    switch random.below(10) {
    case 0: ending = .unterminated
    case 1: ending = .broken
    case 2, 3: ending = .stopped(after: .milliseconds(random.below(400)), gateway: random.below(2))
    default: ending = .whole
    }
    readers = (0..<1 + random.below(3)).map { _ in
      let leaves = (0..<max(0, random.below(6) - 2)).map { _ in
        Leave(
          after: .milliseconds(random.below(250)), resets: random.chance(50), away: .milliseconds(random.below(150)),
          gateway: random.below(2), repeats: random.chance(30), rewind: random.chance(30) ? random.below(10) : 0)
      }
      return Reader(gateway: random.below(2), delay: .milliseconds(random.below(200)), leaves: leaves)
    }
  }

  /// The backend's request for it.
  var target: String { "/scenario/\(seed)" }

  init?(target: String) {
    guard target.hasPrefix("/scenario/"), let seed = UInt64(target.dropFirst("/scenario/".count)) else { return nil }
    self.init(seed: seed)
  }

  /// The data of event `number`, from 1 on; a whole run has one more at its end.
  func payload(_ number: Int) -> String {
    if number > events { return "[DONE]" }
    return padding == 0 ? "\(number)" : "\(number) " + String(repeating: "x", count: padding)
  }

  /// How many events a run has that ended with `outcome`.
  func lengths(_ outcome: String?) -> ClosedRange<Int> {
    switch ending {
    case .unterminated: events...events
    case .broken: 0...events
    case .whole, .stopped: outcome == "cancelled" ? 0...events + 1 : events + 1...events + 1
    }
  }

  var script: Script {
    var steps: [Script.Step] = [.head()]
    for number in 1...events { steps += [.event(nil, payload(number)), .pause(interval)] }
    switch ending {
    case .unterminated: steps.append(.finish(.unterminated))
    case .broken: steps.append(.cut)
    case .whole, .stopped: steps += [.event(nil, payload(events + 1)), .end]
    }
    return Script(steps)
  }

  /// How the run may end.
  var outcomes: Set<String> {
    switch ending {
    case .whole: ["completed"]
    case .unterminated, .broken: ["upstream_truncated"]
    case .stopped: ["completed", "cancelled"]
    }
  }

  var description: String {
    "seed \(seed): \(events) events, \(interval.milliseconds) ms apart, \(ending)\n"
      + readers.map { "  \($0)" }.joined(separator: "\n")
  }
}

/// One reader's way through a run: everything that it got stands at its place.
struct ScenarioReading: Sendable {
  private(set) var stream: String?
  private(set) var outcome: String?
  /// The number of the last event that has come.
  private(set) var position = 0
  private(set) var connections = 0
  /// What it was told each time that events are lost.
  private(set) var resets: [String] = []
  private(set) var fault: String?

  static func play(
    _ reader: ReplicaScenario.Reader, of scenario: ReplicaScenario, in replicas: Replicas,
    opened: @Sendable (String) -> Void
  ) async -> ScenarioReading {
    var reading = ScenarioReading()
    var leaves = reader.leaves[...]
    var (gateway, from) = (reader.gateway, Int?.none)
    try? await Task.sleep(for: .nanoseconds(reader.delay.value))
    // A store that is away is waited for.
    for _ in 0..<300 where reading.outcome == nil && reading.fault == nil {
      var behaviour = ClientBehaviour()
      behaviour.hangsUpAfter = leaves.first?.after
      behaviour.resets = leaves.first?.resets ?? false
      let result = await reading.request(scenario, after: from, of: replicas.both[gateway], in: replicas, behaviour)
      reading.connections += 1
      if let stream = result.streamID { opened(stream) }
      if result.status == 503 || (result.end == .hungUp && result.status == 0) {
        try? await Task.sleep(for: .milliseconds(100))
        continue
      }
      reading.take(result, of: scenario, after: from ?? 0)
      guard reading.outcome == nil, reading.fault == nil else { break }
      guard result.end == .hungUp, let leave = leaves.popFirst() else {
        reading.fault = "no stream_end, but \(result.status), \(result.end), \(result.text.suffix(300))"
        break
      }
      try? await Task.sleep(for: .nanoseconds(leave.away.value))
      gateway = leave.gateway
      from = leave.repeats ? nil : max(0, reading.position - leave.rewind)
    }
    if reading.outcome == nil, reading.fault == nil { reading.fault = "no answer but 503" }
    return reading
  }

  private func request(
    _ scenario: ReplicaScenario, after position: Int?, of gateway: GatewayProcess, in replicas: Replicas,
    _ behaviour: ClientBehaviour
  ) async -> ClientResult {
    // Who has no event yet can't say behind which one to go on.
    guard let position, position > 0, let stream else {
      let fields = [Script.Field.idempotencyKey("k-\(scenario.seed)"), .signedIn]
      return await replicas.open(
        scenario.target, of: gateway, method: "POST", fields: fields, body: "{}", behaviour: behaviour
      ).result()
    }
    return await replicas.open(
      "/fermata/streams/\(stream)", of: gateway, fields: [.signedIn, .lastEventID("\(stream).\(position)")],
      behaviour: behaviour
    ).result()
  }

  /// Checks that what came goes on behind `start` without a gap.
  private mutating func take(_ result: ClientResult, of scenario: ReplicaScenario, after start: Int) {
    guard result.status == 200 || result.status == 204 else {
      fault = "status \(result.status): \(result.text)"
      return
    }
    if let stream, let other = result.streamID, stream != other { fault = "\(other) instead of \(stream)" }
    stream = stream ?? result.streamID
    position = start
    let own: Set<String> = ["stream_end", "error", "control", "stream_reset"]
    for event in result.events where fault == nil {
      if event.type == "stream_reset" {
        resets.append("behind \(start): \(event.data)")
        position = 0
      } else if !own.contains(event.type) {
        let number = position + 1
        if event.data != scenario.payload(number) || event.id != "\(stream ?? "").\(number)" {
          fault = "event \(number) is \(event.id ?? "without id"), \(event.data.prefix(40))"
        }
        position = number
      }
    }
    outcome = result.status == 204 ? result.head.value("X-Stream-Outcome") : result.outcome
    if outcome != nil, result.end != .clean, result.end != .hungUp { fault = "after the stream's end: \(result.end)" }
    if let end = result.streamEnd, end["resumable"]?.bool != true { fault = "not resumable: \(end)" }
  }
}
