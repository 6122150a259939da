internal import Harness
internal import JSON
internal import Streams

extension MatrixReport {
  /// The report as `docs/compatibility.schema.json` describes it. Names are sorted; two runs differ in times only.
  package var json: String {
    var object = JSONObject()
    object["schema"] = 1
    object["fermata"] = .object(build)
    object["host"] = .string(host)
    object["startedAt"] = .string(startedAt)
    object["seconds"] = .number((seconds * 10).rounded() / 10)
    object["clients"] = .array(rows.map(Self.value))
    object["behaviours"] = .array(
      behaviours.map { ["id": .string($0.id), "title": .string($0.title), "why": .string($0.why)] })
    object["modes"] = .array(modes.map { .string($0.rawValue) })
    object["transports"] = .array(transports.map { ["id": .string($0.id), "title": .string($0.title)] })
    object["cells"] = .array(results.map(Self.value))
    object["summary"] = .object(summaryObject)
    return JSONValue.object(object).sorted.text(.pretty) + "\n"
  }

  private static func value(_ row: Row) -> JSONValue {
    ["id": .string(row.client.id), "name": .string(row.client.name), "version": .string(row.version)]
  }

  private var summaryObject: JSONObject {
    var object = JSONObject()
    for verdict in Verdict.allCases { object[verdict.rawValue] = JSONValue(count(of: verdict)) }
    object["cells"] = JSONValue(results.count)
    object["unexpected"] = JSONValue(results.count { !$0.isAsExpected })
    return object
  }

  static func value(_ result: CellResult) -> JSONValue {
    var object = JSONObject()
    object["client"] = .string(result.cell.client)
    object["mode"] = .string(result.cell.mode.rawValue)
    object["transport"] = .string(result.cell.transport)
    object["behaviour"] = .string(result.cell.behaviour)
    object["expected"] = .string(result.expected.rawValue)
    object["verdict"] = .string(result.verdict.rawValue)
    object["fault"] = result.finding.fault.map { .string($0.rawValue) }
    object["flaky"] = .bool(result.isFlaky)
    object["ms"] = JSONValue(result.milliseconds)
    object["note"] = .string(WitnessText(result).steady(result.finding.note))
    object["reason"] = result.reason.map { .string($0) }
    object["link"] = result.link.map { .string($0) }
    object["witness"] = .object(WitnessText(result).object)
    return .object(object)
  }
}

/// What the witnesses said, without what differs from run to run: ids of streams and ports.
struct WitnessText {
  let result: CellResult

  init(_ result: CellResult) { self.result = result }

  /// Of clients that take only a part.
  private let leaves: Set<String?> = [Outcome.clientGone.rawValue, Outcome.clientStalled.rawValue]

  // Of a client that leaves at the end, it is chance whether the end or its leaving is seen first.
  private static let race = "ended or left"
  private let raced: Set<String?> = [
    Outcome.clientGone.rawValue, Outcome.completed.rawValue, Outcome.incomplete.rawValue,
  ]

  /// Whether the network of its client is cut once.
  private var isCut: Bool {
    if case .cutClient = Behaviour.all.first(where: { $0.id == result.cell.behaviour })?.action { true } else { false }
  }

  private func end(_ text: String) -> String {
    result.mayLeaveFirst && ["clean", "unfinished"].contains(text) ? Self.race : text
  }

  var object: JSONObject {
    var object = JSONObject()
    object["client"] = result.client.map { .object(client($0)) }
    object["backend"] = result.backend.map {
      ["requests": JSONValue($0.requests), "ends": .array($0.ends.map { .string(end($0)) })]
    }
    object["gateway"] = result.gateway.map { gateway in
      .array(
        gateway.streams.enumerated().map { index, stream in
          // All may be on its way to the client already when its first connection breaks.
          let isCutOff = isCut && index == 0
          let isRace = (result.mayLeaveFirst || isCutOff) && raced.contains(stream.outcome)
          return [
            "mode": .string(stream.mode),
            "outcome": isRace ? .string(Self.race) : stream.outcome.map { .string($0) } ?? .null,
            "reason": .string(isRace ? "" : stream.reason),
            "protocol": stream.wire.map { .string($0.rawValue) } ?? .null,
            // How much was on its way to a client that left differs from run to run.
            "events": isRace || leaves.contains(stream.outcome) ? .null : JSONValue(stream.events),
          ]
        })
    }
    return object
  }

  private func client(_ seen: ClientWitness) -> JSONObject {
    var object = JSONObject()
    object["end"] = .string(seen.end.rawValue)
    object["error"] = seen.error.map { .string(steady($0)) }
    object["status"] = seen.status.map { JSONValue($0) }
    object["reconnects"] = JSONValue(seen.reconnects)
    object["sawOutcome"] = seen.sawOutcome.map { .string($0) }
    let hasStalled = result.gateway?.streams.last?.outcome == Outcome.clientStalled.rawValue
    // How much came before the cut differs from run to run.
    object["events"] = .string(hasStalled ? "some" : types(of: seen.events))
    return object
  }

  /// `token ×2, complete, usage ×2`.
  private func types(of events: [ReceivedEvent]) -> String {
    var runs: [(type: String, count: Int)] = []
    for event in events {
      if runs.last?.type == event.type { runs[runs.count - 1].count += 1 } else { runs.append((event.type, 1)) }
    }
    return runs.map { $0.count == 1 ? $0.type : "\($0.type) ×\($0.count)" }.joined(separator: ", ")
  }

  /// The text with `…` for ids and numbers of streams, addresses of memory and ports.
  func steady(_ text: String) -> String {
    var text = text
    for stream in result.gateway?.streams ?? [] where !stream.id.isEmpty {
      text = text.split(separator: stream.id, omittingEmptySubsequences: false).joined(separator: "…")
    }
    text.replace(/(127\.0\.0\.1|localhost|port[ =:]+)(['"]?[,:] ?(port=)?)?\d{2,5}/) { "\($0.1)" }
    text.replace(/0x[0-9a-f]{6,}/, with: "0x…")
    // Streams have numbers in their paths.
    text.replace(/\/n\d+\b/, with: "/n…")
    text.replace(/\b\d+(\.\d+)? ?(ms|milliseconds|seconds)\b/, with: "… $2")
    return String(text.prefix(300))
  }
}

extension JSONValue {
  /// The same with the members of every object in the order of their names.
  var sorted: JSONValue {
    switch self {
    case .array(let elements): .array(elements.map(\.sorted))
    case .object(let object):
      .object(
        JSONObject(
          object.members.map { JSONObject.Member(name: $0.name, value: $0.value.sorted) }
            .sorted { $0.name < $1.name }))
    default: self
    }
  }
}

extension CellResult {
  /// All that is known of the cell, as the report has it.
  package var details: String { MatrixReport.value(self).sorted.text(.pretty) }
}
