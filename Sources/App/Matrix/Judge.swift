package import Harness
internal import JSON
package import Streams

/// Decides whether three witnesses of one cell agree, and whether the client's user saw the truth.
package struct Judge: Sendable {
  private let client: MatrixClient
  private let behaviour: Behaviour
  /// How the gateway has to serve this client.
  package let mode: Mode
  /// What the client's user must get of the backend's events, in this order.
  package let truth: [ReceivedEvent]
  private let sent: [ReceivedEvent]
  private let transport: MatrixTransport

  /// The types of the gateway's own events.
  private static let ownTypes: Set<String> = ["stream_end", "error", "control", "stream_reset"]

  /// - Parameter variant: what the flag gives the client.
  package init(
    client: MatrixClient, variant: Mode, behaviour: Behaviour, over transport: MatrixTransport = .direct
  ) {
    self.transport = transport
    self.client = client
    self.behaviour = behaviour
    mode = Mode.decide(understandsStreamEnd: behaviour.optsIn(client, variant: variant), variant: variant)
    sent = behaviour.play(client.dialect).sent
    var truth = sent
    if mode == .shield, client.dialect.isKnownToGateway {
      let terminals = truth.filter(client.dialect.isTerminal)
      truth = truth.filter { !client.dialect.isTerminal($0) } + terminals
    }
    if case .status = behaviour.visibleEnd { truth = [] }
    if behaviour.visibleEnd == .barred { truth = [] }
    self.truth = truth
  }

  package func judge(client seen: ClientWitness, backend: BackendWitness, gateway: GatewayWitness) -> Finding {
    if case .cutClient = behaviour.action, seen.end == .error, backend.requests >= behaviour.requests {
      return Finding(.own, seen.error ?? "an error")
    }
    if hasBrokenOff(seen, gateway) {
      return .failed(.alarmed, "the client broke off: \(seen.error ?? "an error")")
    }
    if let complaint = complaint(about: backend) ?? complaint(about: gateway) {
      return .failed(.witness, complaint)
    }
    if seen.end == .timeout { return .failed(.alarmed, "the client was still waiting when its time was up") }
    if case .status(let status) = behaviour.visibleEnd { return judge(seen, status: status) }
    if behaviour.visibleEnd == .barred { return judgeBarred(seen) }
    let (events, told) = answer(of: seen)
    if let finding = compare(events, seen, told: told) { return finding }
    return judgeEnd(of: seen, told: told ?? seen.sawOutcome)
  }

  /// Whether the client raised an error where nothing was wrong. The last bytes may be on their way to it by then, so that
  /// the stream has completed for the gateway.
  private func hasBrokenOff(_ seen: ClientWitness, _ gateway: GatewayWitness) -> Bool {
    let fine = [Outcome.clientGone, .completed].map(\.rawValue)
    return seen.end == .error && behaviour.outcome == .completed
      && (gateway.streams.last?.outcome).map(fine.contains) == true
  }

  /// Whether the client is cut where nothing tells it how to go on: only graceful has ids.
  private var cannotResume: Bool {
    if case .cutClient = behaviour.action { mode != .graceful } else { false }
  }

  // MARK: - The other witnesses

  private func complaint(about backend: BackendWitness) -> String? {
    guard backend.requests != behaviour.requests else { return nil }
    // It may ask for the whole answer again.
    if cannotResume, backend.requests > behaviour.requests { return nil }
    return "the backend got \(backend.requests) requests instead of \(behaviour.requests)"
  }

  private func complaint(about gateway: GatewayWitness) -> String? {
    if transport.isBare { return nil }
    // A client that could not have what it should speak may have fallen back without a word.
    for wire in gateway.streams.compactMap(\.wire) where wire != transport.wire {
      return "the gateway was spoken to in \(wire.rawValue) instead of \(transport.wire.rawValue)"
    }
    if behaviour.visibleEnd == .barred { return nil }
    guard let outcome = behaviour.outcome else {
      let open = gateway.streams.last { $0.outcome != Outcome.completed.rawValue }
      return open.map { "the gateway opened a stream that ended \($0.outcome ?? "never")" }
    }
    // The one that replaces the client's, or asks again, is the runner's own.
    let isSecond = behaviour.action == .replace || behaviour.action == .ask
    guard let last = isSecond ? gateway.streams.first : gateway.streams.last else {
      return "the gateway logged no stream"
    }
    if last.mode != mode.rawValue { return "the gateway served \(last.mode) instead of \(mode.rawValue)" }
    // Who raises the backend's error leaves at once.
    let leaves = behaviour.visibleEnd == .inBand && last.outcome == Outcome.clientGone.rawValue
    // Whether an answer is whole whose terminal it does not know, it can't say.
    let isUnknown = outcome == .completed && !client.dialect.isKnownToGateway
    let fine = (isUnknown ? [.incomplete, .clientGone] : [outcome]).map(\.rawValue)
    if !leaves, !outcomes(of: gateway).contains(where: fine.contains) {
      return "the gateway logged \(last.outcome ?? "no end") instead of \(outcome.rawValue)"
    }
    if last.events > sent.count {
      return "the gateway counted \(last.events) events, the backend sent \(sent.count)"
    }
    return nil
  }

  /// How the streams that count have ended: of a client that comes back, any of its streams may be the last to end.
  private func outcomes(of gateway: GatewayWitness) -> [String] {
    let all = gateway.streams.compactMap(\.outcome)
    if behaviour.action == .replace { return Array(all.prefix(1)) }
    guard case .cutClient = behaviour.action else { return Array(all.suffix(1)) }
    // A client that can't come back is gone, and that is all.
    return cannotResume && all == [Outcome.clientGone.rawValue] ? [behaviour.outcome?.rawValue ?? ""] : all
  }

  // MARK: - The client

  /// The backend's events as the client got them, and the outcome that a `stream_end` among its events names.
  private func answer(of seen: ClientWitness) -> (events: [ReceivedEvent], told: String?) {
    var told: String?
    let events = seen.events.filter { event in
      guard Self.ownTypes.contains(event.type), let data = try? JSONValue(parsing: event.data),
        data["source"]?.string == "gateway"
      else { return true }
      if event.type == "stream_end" { told = data["outcome"]?.string }
      if event.type == "stream_end", behaviour.action == .kill, data["closing"]?.string != "legacy-from-now-on" {
        told = "an end that does not say that the closing was taken back"
      }
      return false
    }
    return (events, told)
  }

  /// What the client's user must get.
  private var expected: [ReceivedEvent] {
    guard client.view == .texts else { return truth }
    return truth.compactMap { event in client.dialect.text(of: event).map { ReceivedEvent(type: "", data: $0) } }
  }

  private func compare(_ events: [ReceivedEvent], _ seen: ClientWitness, told: String?) -> Finding? {
    let whole = Piece.all(expected, client.view)
    let got = Piece.all(events, client.view)
    if got != whole {
      if behaviour.outcome == .clientStalled, whole.starts(with: got) { return nil }
      if whole.starts(with: got) {
        return .failed(.lost, "\(whole.count - got.count) of \(whole.count) events are missing at the end")
      }
      // A client that raises the backend's error does not hand it over as an event too.
      if behaviour.visibleEnd == .inBand, seen.end == .error, got == Array(whole.dropLast()) { return nil }
      return .failed(.misread, "got \(got.count) events that are not the backend's \(whole.count), or in another order")
    }
    return ids(of: events)
  }

  /// In graceful every event has the stream's id and its own number, as far as the client reports ids.
  private func ids(of events: [ReceivedEvent]) -> Finding? {
    guard mode == .graceful, client.view == .events else { return nil }
    for (index, event) in events.enumerated() {
      guard let id = event.id, !id.isEmpty, sent[index].id == nil else { continue }
      if !id.hasSuffix(".\(index + 1)") {
        return .failed(.misread, "event \(index + 1) has the id \(id)")
      }
    }
    return nil
  }

  private func judgeEnd(of seen: ClientWitness, told: String?) -> Finding {
    let outcome = behaviour.outcome?.rawValue ?? ""
    if case .cutClient = behaviour.action, seen.reconnects == 0 {
      return .failed(.witness, "the client did not come back")
    }
    if behaviour.outcome == .completed {
      if seen.end == .error { return .failed(.alarmed, "an error where all was well: \(seen.error ?? "")") }
      if let told, told != outcome { return .failed(.alarmed, "the client says \(told), the gateway \(outcome)") }
      return Finding(.ok)
    }
    if told == outcome { return Finding(.ok) }
    if behaviour.visibleEnd == .inBand, seen.end == .closed, client.view == .events { return Finding(.ok) }
    if seen.end == .error { return Finding(.own, seen.error ?? "an error") }
    if let told, told != Outcome.completed.rawValue { return Finding(.own, "says \"\(told)\"") }
    return .failed(.unseen, "the answer ended \(outcome), and the client took it for whole")
  }

  private func judge(_ seen: ClientWitness, status: Int) -> Finding {
    guard seen.events.isEmpty else {
      return .failed(.misread, "\(seen.events.count) events where there is no stream")
    }
    if let told = seen.status, told != status {
      return .failed(.misread, "the client saw the status \(told) instead of \(status)")
    }
    if status >= 400, seen.end == .closed {
      return .failed(.unseen, "the answer was a status \(status), and the client took it for an empty stream")
    }
    if seen.status == status { return Finding(.ok) }
    return Finding(.own, seen.error ?? "no status, and no events")
  }

  private func judgeBarred(_ seen: ClientWitness) -> Finding {
    guard seen.events.isEmpty else { return .failed(.misread, "\(seen.events.count) events that it may not read") }
    return seen.end == .error
      ? Finding(.own, seen.error ?? "an error") : .failed(.unseen, "nothing was told of an answer that may not be read")
  }

  /// What is compared of an event.
  private struct Piece: Equatable {
    let type: String
    let data: String

    /// Long data is shortened once, however often it comes.
    static func all(_ events: [ReceivedEvent], _ view: MatrixClient.View) -> [Piece] {
      var known: [String: String] = [:]
      return events.map { event in
        let data = known[event.data] ?? EventText.short(event.data)
        known[event.data] = data
        return Piece(type: view == .events ? event.type : "", data: data)
      }
    }
  }
}
