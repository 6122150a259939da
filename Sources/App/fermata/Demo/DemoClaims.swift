import Harness
import Time

/// One promise, and whether what was seen is what was promised.
struct DemoClaim {
  let text: String
  let holds: Bool

  func line(_ style: TerminalStyle) -> String {
    (holds ? style.toned("  ok    ", .good) : style.toned("  FAILED", .bad)) + "  " + text
  }
}

/// What the demo promises. Checked from what the clients got, not from what was meant.
enum DemoClaims {
  private static let answer = DemoAnswer.events.map { ReceivedEvent(type: $0.type, data: $0.data) }

  static func all(of cast: DemoCast) -> [DemoClaim] {
    [loss(cast), legacy(cast), shield(cast), graceful(cast), bystander(cast), shadow(cast), switches(cast), kill(cast)]
  }

  private static var beforeLoss: [ReceivedEvent] { Array(answer[...DemoAnswer.completion]) }

  private static func loss(_ cast: DemoCast) -> DemoClaim {
    DemoClaim(
      text: "An old client loses the last \(DemoAnswer.trailing) events, \"Task completed successfully\" among them.",
      holds: cast.direct.answerEvents == beforeLoss && cast.patientDirect.answerEvents == answer)
  }

  private static func legacy(_ cast: DemoCast) -> DemoClaim {
    let bytes = cast.patientLegacy.body.count
    return DemoClaim(
      text: "legacy changes nothing: the same loss, and the body's \(bytes) bytes as the backend sent them.",
      holds: cast.legacy.answerEvents == beforeLoss && mode(of: cast.legacy) == "legacy"
        && cast.patientLegacy.body == cast.patientDirect.body && cast.patientLegacy.end == .clean)
  }

  private static func shield(_ cast: DemoCast) -> DemoClaim {
    var reordered = answer
    reordered.append(reordered.remove(at: DemoAnswer.completion))
    return DemoClaim(
      text: "shield loses nothing with the same old client: its completion event comes last.",
      holds: cast.shield.answerEvents == reordered && mode(of: cast.shield) == "shield" && cast.shield.end == .hungUp)
  }

  private static func graceful(_ cast: DemoCast) -> DemoClaim {
    let events = cast.graceful.answerEvents
    let isWhole = events.map(\.type) == answer.map(\.type) && events.map(\.data) == answer.map(\.data)
    let end = cast.graceful.streamEnd
    return DemoClaim(
      text: "graceful loses nothing and says so: stream_end counts \(end?.events ?? 0) events and names the last id.",
      holds: isWhole && mode(of: cast.graceful) == "graceful" && cast.graceful.end == .clean
        && end?.outcome == "completed" && end?.events == answer.count && end?.lastEventID == events.last?.id
        && cast.graceful.head.value("Preference-Applied") == "stream-end")
  }

  private static func bystander(_ cast: DemoCast) -> DemoClaim {
    DemoClaim(
      text: "The old client beside it does not notice that the flag says graceful.",
      holds: cast.bystander.answerEvents == beforeLoss && mode(of: cast.bystander) == "legacy")
  }

  private static func shadow(_ cast: DemoCast) -> DemoClaim {
    let trailing = cast.shadow["fermata_shadow_trailing_events_total"] ?? 0
    let early = cast.shadow["fermata_shadow_left_early_total"] ?? 0
    return DemoClaim(
      text: "At legacy already, /metrics counts the loss: \(early) clients left early, \(trailing) events "
        + "came too late.",
      // Events for a client that had just hung up may have come before the gateway heard of that: they count too.
      holds: early == 2 && trailing >= DemoAnswer.trailing)
  }

  private static func switches(_ cast: DemoCast) -> DemoClaim {
    DemoClaim(
      text: "The flag file took effect while it ran, after \(cast.toShield.text) and \(cast.toGraceful.text).",
      holds: cast.toShield.time < .seconds(1) && cast.toGraceful.time < .seconds(1))
  }

  private static func kill(_ cast: DemoCast) -> DemoClaim {
    let killed = cast.killed
    return DemoClaim(
      text: "The kill took effect after \(cast.kill.text); the stream that was open still got its stream_end.",
      holds: cast.kill.time < .seconds(1) && mode(of: killed) == "graceful" && killed.streamEnd?.isRecalled == true
        && killed.answerEvents.map(\.data) == answer.map(\.data) && killed.end == .clean)
  }

  private static func mode(of result: ClientResult) -> String? { result.head.value("X-Stream-Mode") }
}
