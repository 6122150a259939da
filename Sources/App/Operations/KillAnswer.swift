import Bytes
import FlagControl
import Flags
import Gateway
import HTTP
import JSON
import Loop
import Streams
import Telemetry

/// `POST /kill` and `POST /unkill`: the way to the old closing that needs no file.
extension ControlRoom {
  /// What took the new closing back, for people; `nil` when nothing did. The guard has words of its own.
  var killInForce: String? {
    if gateway.guardKeeper.kill != nil { return "by POST /kill" }
    return gateway.flags.current.isKilled ? "by the flag file" : nil
  }

  /// For `/flags`.
  var killDocument: JSONValue {
    var object: JSONObject = ["file": .string(Self.word(for: gateway.flags.current.recall))]
    object["operator"] = gateway.guardKeeper.kill?.json ?? .null
    object["stateFile"] = gateway.guardKeeper.stateFile.map { .string($0) } ?? .null
    object["stateFault"] = gateway.guardKeeper.stateFault.map { .string($0) } ?? .null
    return .object(object)
  }

  private static func word(for recall: Recall) -> String {
    switch recall {
    case .none: "none"
    case .announced: "killed"
    case .hard: "killed_hard"
    }
  }

  func killGauges(to out: inout ByteBuffer) {
    let samples: [(source: String, recall: Recall)] = [
      ("file", gateway.flags.current.recall), ("operator", gateway.guardKeeper.override.kill),
    ]
    PrometheusText.write(
      "fermata_kill", "gauge", "Who has taken the new closing back: 0 not, 1 for new streams, 2 for open ones too.",
      samples.map { ([("source", $0.source)], Double($0.recall.rawValue)) }, to: &out)
    PrometheusText.write(
      "fermata_guard_state_writable", "gauge", "Whether what must survive a restart can be written.",
      [([], gateway.guardKeeper.stateFile != nil && gateway.guardKeeper.stateFault == nil ? 1 : 0)], to: &out)
    if let share = gateway.guardShare { Self.shareSeries(share, to: &out) }
  }

  private static func shareSeries(_ share: GuardShare, to out: inout ByteBuffer) {
    PrometheusText.write(
      "fermata_guard_redis_connected", "gauge", "Whether kills and trips are shared with other gateways now.",
      [([], share.isConnected ? 1 : 0)], to: &out)
    PrometheusText.write(
      "fermata_guard_adopted_total", "counter", "Kills, their ends and trips that were taken over from other gateways.",
      ["kill", "trip", "unkill"].map { what in
        (labels: [("what", what)], value: Double(share.adopted[what] ?? 0))
      }, to: &out)
    PrometheusText.write(
      "fermata_guard_redis_failures_total", "counter", "Exchanges with other gateways that Redis did not carry out.",
      [([], Double(share.failures))], to: &out)
  }

  func answerKill(_ request: AdminRequest, _ respond: @escaping (AdminResponse) -> Void) {
    guard request.method == .post else {
      return respond(.json(status: 405, #"{"error":"POST is needed: curl -X POST"}"#))
    }
    // Loopback asks for no token by default, and every page that an operator opens could reach it.
    guard !request.isFromWebPage else {
      return respond(.json(status: 403, #"{"error":"a web page may not do this: send it without Origin"}"#))
    }
    let query = AdminQuery(request.query)
    let isKill = request.path == "/kill"
    // Who writes the parameter means it, in whatever spelling.
    let isHard = query["hard"].map { !["0", "false", "no", "off"].contains($0.lowercased()) } ?? false
    let word = OperatorWord(actor: query["actor"] ?? "", reason: query["reason"] ?? "")
    let wanted = OperatorKill(isHard: isHard, at: loop.wallTime(), actor: word.actor, reason: word.reason)
    let change = isKill ? gateway.guardKeeper.setKill(wanted) : gateway.guardKeeper.liftKill(word)
    // A worker takes its letters in order: when it answers, the kill is in force there.
    gateway.gather({ $0.decider.recall }, then: { respond(.json(self.killAnswer($0, change).text())) })
  }

  private func killAnswer(_ workers: [Recall], _ change: GuardKeeper.KillChange) -> JSONValue {
    var object: JSONObject = [
      "killed": .bool(gateway.guardKeeper.kill != nil), "alreadyApplied": .bool(change != .done),
      "workers": JSONValue(workers.count),
      "inForce": .bool(
        workers.count == gateway.workers.count && workers.allSatisfy { $0 >= gateway.guardKeeper.override.recall }),
      "kept": .bool(gateway.guardKeeper.stateFile != nil && gateway.guardKeeper.stateFault == nil),
    ]
    if change == .harderStays {
      object["harderStays"] = true
      object["toWeaken"] = "POST /unkill, then POST /kill"
    }
    if let fault = gateway.guardKeeper.stateFault { object["keptFault"] = .string(fault) }
    object["shared"] = gateway.guardShare?.standing ?? .null
    object["kill"] = gateway.guardKeeper.kill?.json ?? .null
    object["flags"] = .string(gateway.flags.current.version)
    object["effect"] = .string(workers.contains { $0 != .none } ? "legacy" : "configured")
    return .object(object)
  }
}

/// The parameters of an operator's request.
struct AdminQuery {
  private var values: [String: String] = [:]
  /// Bytes of one value that are kept: it goes into log lines and a file.
  private static let limit = 512

  init(_ query: String) {
    for pair in query.split(separator: "&") {
      let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      values[Self.decoded(parts[0])] = parts.count == 2 ? Self.decoded(parts[1]) : ""
    }
  }

  subscript(name: String) -> String? { values[name] }

  /// Percent-decoded; what is no escape stays as it is.
  private static func decoded(_ text: Substring) -> String {
    var bytes: [UInt8] = []
    var rest = text.utf8.prefix(3 * limit)
    while let byte = rest.popFirst(), bytes.count < limit {
      switch byte {
      case UInt8(ascii: "+"): bytes.append(UInt8(ascii: " "))
      case UInt8(ascii: "%"):
        guard let value = UInt8(String(rest.prefix(2)) ?? "", radix: 16), rest.count >= 2 else {
          bytes.append(byte)
          continue
        }
        rest = rest.dropFirst(2)
        bytes.append(value)
      default: bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
