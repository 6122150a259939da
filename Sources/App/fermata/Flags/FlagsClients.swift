import Flags
import JSON
import Time

/// `rollout clients`: who is served how.
extension FlagsVerb {
  static let rolloutClients = FlagsVerb(
    name: "rollout clients", summary: "who still uses the old closing, and who hangs up at the completion event",
    usage: "--admin URL [--admin URL …] [OPTION …]",
    details: """
      Asks gateways who their clients were in the last 7 days: product, version, streams, identities, and how many hang
      up at the completion event. The numbers of several gateways are added up; a client of two of them counts as two
      identities.

        --admin URL        a gateway's admin listener; may be given several times
        --admin-list FILE  a file with one URL a line
        --token TOKEN      its token (FERMATA_ADMIN_TOKEN)
        --mode MODE        only legacy, shield or graceful
        --limit N          lines of each mode; default 50
      """,
    options: AdminGateways.options.union(["--mode", "--limit"]), operands: 0...0
  ) { invocation throws(FlagsFailure) in
    guard let report = try ClientsReport.fetch(invocation) else { throw .usage("rollout clients needs --admin URL") }
    let mode = invocation.arguments["--mode"]
    if let mode, !ClientsReport.modes.contains(mode) {
      throw .usage("--mode is one of \(ClientsReport.modes.joined(separator: ", ")), not \"\(mode)\"")
    }
    let limit = try invocation.number("--limit", in: 1...10_000) ?? 50
    return FlagsOutput(
      kind: "RolloutClients", data: report.json, text: report.text(mode: mode, limit: limit, now: Caller.now))
  }
}

/// The clients of one product, version and mode, on all gateways that were asked.
struct CensusClient {
  struct Key: Hashable {
    let product: String
    let version: String
    let mode: String
    let isCapable: Bool
  }

  let key: Key
  private(set) var streams = 0
  private(set) var identities = 0
  private(set) var left = 0
  private(set) var hungUp = 0
  private(set) var tailsRead = 0
  private(set) var tailsLost = 0
  private(set) var lastSeen: WallTime?

  init(key: Key) { self.key = key }

  mutating func add(_ json: JSONValue) {
    func count(_ name: String) -> Int { min(max(json[name]?.integer ?? 0, 0), 1 << 50) }
    streams += count("streams")
    identities += count("identities")
    left += count("leftAtCompletion")
    hungUp += count("hungUpBeforeStreamEnd")
    tailsRead += count("tailsRead")
    tailsLost += count("tailsLost")
    let seen = json["lastSeen"]?.string.flatMap(WallTime.init(rfc3339:))
    if let seen { lastSeen = max(lastSeen ?? seen, seen) }
  }

  var name: String { key.version.isEmpty ? key.product : "\(key.product) \(key.version)" }

  func line(at now: WallTime) -> String {
    var parts = ["\(CountText.grouped(streams)) \(streams == 1 ? "stream" : "streams")"]
    parts.append("\(CountText.grouped(identities)) \(identities == 1 ? "identity" : "identities")")
    if key.mode == "legacy", key.isCapable { parts.append("understands stream_end") }
    if left > 0 { parts.append("\(share(left)) hang up at completion") }
    if hungUp > 0 { parts.append("\(CountText.grouped(hungUp)) before stream_end, which they were to get") }
    if tailsRead > 0 { parts.append("\(CountText.grouped(tailsLost)) of \(CountText.grouped(tailsRead)) lost events") }
    if let lastSeen {
      let seconds = Int((now.milliseconds - lastSeen.milliseconds) / 1000)
      parts.append("last seen \(seconds < 1 ? "just now" : "\(DurationText.short(seconds)) ago")")
    }
    return "\(name): \(parts.joined(separator: ", "))"
  }

  private func share(_ part: Int) -> String { CountText.percent(Double(part) / Double(max(1, streams))) }

  var json: JSONValue {
    [
      "product": .string(key.product), "version": .string(key.version), "mode": .string(key.mode),
      "understandsStreamEnd": .bool(key.isCapable), "streams": JSONValue(streams), "identities": JSONValue(identities),
      "leftAtCompletion": JSONValue(left), "hungUpBeforeStreamEnd": JSONValue(hungUp),
      "tailsRead": JSONValue(tailsRead), "tailsLost": JSONValue(tailsLost),
      "lastSeen": lastSeen.map { .string($0.rfc3339) } ?? .null,
    ]
  }
}

/// What `/clients` of all gateways says.
struct ClientsReport {
  static let modes = ["legacy", "shield", "graceful"]

  private let gateways: [(admin: String, document: JSONValue)]
  /// The largest first.
  let clients: [CensusClient]
  let gate: LegacyGate

  /// `nil` when the command line names no gateway.
  static func fetch(_ invocation: FlagsInvocation) throws(FlagsFailure) -> ClientsReport? {
    guard let gateways = try AdminGateways(invocation) else { return nil }
    var documents: [(admin: String, document: JSONValue)] = []
    for answer in try gateways.ask("GET", "/clients") {
      guard let document = answer.document else {
        throw FlagsFailure(.inputOutput, "admin", answer.fault ?? "", next: "check that the gateway runs, and --token")
      }
      documents.append((answer.url, document))
    }
    return ClientsReport(documents)
  }

  init(_ gateways: [(admin: String, document: JSONValue)]) {
    self.gateways = gateways
    var clients: [CensusClient.Key: CensusClient] = [:]
    for json in gateways.flatMap({ ($0.document["clients"]?.array ?? []) + ($0.document["others"]?.array ?? []) }) {
      let key = CensusClient.Key(
        product: json["product"]?.string ?? "", version: json["version"]?.string ?? "",
        mode: json["mode"]?.string ?? "", isCapable: json["understandsStreamEnd"]?.bool ?? false)
      clients[key, default: CensusClient(key: key)].add(json)
    }
    self.clients = clients.values.sorted { left, right in
      left.streams == right.streams ? left.name < right.name : left.streams > right.streams
    }
    func sum(_ name: String) -> Int {
      gateways.reduce(0) { $0 + min(max($1.document[name]?.integer ?? 0, 0), 1 << 50) }
    }
    gate = LegacyGate(streams: sum("streams"), staying: sum("staysLegacy"))
  }

  /// Those who stay in legacy when everybody else has the new closing.
  var staying: [CensusClient] { clients.filter { $0.key.mode == "legacy" && !$0.key.isCapable } }

  var json: JSONValue {
    [
      "streams": JSONValue(gate.streams), "staysLegacy": JSONValue(gate.staying),
      "clients": .array(clients.map(\.json)),
      "gateways": .array(gateways.map { ["admin": .string($0.admin), "report": $0.document] }),
    ]
  }

  func text(mode: String?, limit: Int, now: WallTime) -> String {
    var lines: [String] = []
    for mode in mode.map({ [$0] }) ?? Self.modes {
      let clients = clients.filter { $0.key.mode == mode }
      let count = clients.reduce(0) { $0 + $1.streams }
      let share = CountText.percent(gate.streams > 0 ? Double(count) / Double(gate.streams) : 0)
      lines.append("\(mode): \(CountText.grouped(count)) of \(CountText.grouped(gate.streams)) streams (\(share))")
      lines += clients.prefix(limit).map { "  \($0.line(at: now))" }
      if clients.count > limit { lines.append("  and \(clients.count - limit) more; --limit shows them") }
    }
    lines.append(stayingText(now: now, limit: 0))
    return lines.joined(separator: "\n")
  }

  /// - Parameter limit: how many of them are listed.
  func stayingText(now: WallTime, limit: Int) -> String {
    let verb = gate.staying == 1 ? "stream stays" : "streams stay"
    let who = gate.staying == 0 ? "no client stays" : "\(CountText.grouped(gate.staying)) \(verb)"
    let head = "\(who) in legacy when the rollout is finished (of \(CountText.grouped(gate.streams)) in 7 days)"
    return ([head] + staying.prefix(limit).map { "  \($0.line(at: now))" }).joined(separator: "\n")
  }

  /// Refuses to finish while too many stay in legacy.
  ///
  /// - Returns: the conditions that were overridden.
  func check(_ rollout: Rollout, _ arguments: Arguments, limit: Double) throws(RolloutRefusal) -> [String] {
    // Another variant does something for clients that do not understand stream_end.
    guard rollout.variant == "graceful" else { return [] }
    let criterion = gate.criterion(limit: limit)
    if criterion.isMet { return [] }
    guard arguments.has("--force") else {
      let names = staying.prefix(3).map { "\($0.name) (\(CountText.grouped($0.streams)))" }
      let who = names.isEmpty ? "" : ": \(names.joined(separator: ", "))\(staying.count > 3 ? ", …" : "")"
      throw RolloutRefusal(
        criterion.code, "it can't be finished yet: \(criterion.description)\(who)",
        next: "\(criterion.nextAction), or the same command with --force")
    }
    guard arguments["--reason"]?.isEmpty == false else {
      throw RolloutRefusal(
        "reason_needed", "clients stay in legacy: to finish all the same needs a reason",
        next: "the same command with --reason TEXT")
    }
    return [criterion.code]
  }

  /// `--max-legacy`, as a share.
  static func limit(_ invocation: FlagsInvocation) throws(FlagsFailure) -> Double {
    guard let text = invocation.arguments["--max-legacy"] else { return LegacyGate.defaultLimit }
    guard let percent = Double(text), (0...100).contains(percent) else {
      throw .usage("--max-legacy takes a percentage from 0 to 100, such as 1 or 0.5, not \"\(text)\"")
    }
    return percent / 100
  }
}
