import Flags
import Harness
import JSON
import Loop
import Processes
import Time

/// The gateways that a command line names, asked all at once.
struct AdminGateways {
  static let options: Set<String> = ["--admin", "--admin-list", "--token"]

  /// What one of them says.
  struct Answer {
    let url: String
    /// 0 when there was no answer.
    let status: Int
    let document: JSONValue?
    /// Why there is no document, for people; `nil` when there is one.
    let fault: String?
  }

  private let gateways: [(url: String, address: SocketAddress)]
  private let token: String?
  private static let patience = Nanoseconds.seconds(5)

  /// `nil` when the command line names none.
  init?(_ invocation: FlagsInvocation) throws(FlagsFailure) {
    var urls = invocation.arguments.values["--admin"] ?? []
    if let file = invocation.arguments["--admin-list"] {
      urls += try FlagsContexts.lines(of: file).filter { !$0.hasPrefix("#") }
      guard !urls.isEmpty else { throw .usage("\(file) names no gateway: one URL a line") }
    }
    guard !urls.isEmpty else { return nil }
    var gateways: [(url: String, address: SocketAddress)] = []
    for url in urls where !gateways.contains(where: { $0.url == url }) {
      gateways.append((url, try Self.address(url)))
    }
    self.gateways = gateways
    token = invocation.arguments["--token"] ?? Host.environment["FERMATA_ADMIN_TOKEN"]
  }

  private static func address(_ url: String) throws(FlagsFailure) -> SocketAddress {
    var host = url[...]
    if host.hasPrefix("http://") { host = host.dropFirst(7) }
    while host.hasSuffix("/") { host = host.dropLast() }
    guard let address = SocketAddress(parsing: String(host)) else {
      throw .usage(
        "--admin takes the address of an admin listener, such as http://127.0.0.1:8081, not \"\(url)\"")
    }
    return address
  }

  /// Asks all of them; one that does not answer holds nobody up.
  func ask(_ method: String, _ path: String) throws(FlagsFailure) -> [Answer] {
    var fields = [Script.Field("Connection", "close")]
    if let token { fields.append(Script.Field("Authorization", "Bearer \(token)")) }
    let request = ClientRequest(method, path, fields: fields)
    var results = [ClientResult?](repeating: nil, count: gateways.count)
    do {
      let loop = try EventLoop()
      var behaviour = ClientBehaviour()
      behaviour.timeout = Self.patience
      for (index, gateway) in gateways.enumerated() {
        StreamClient(loop: loop, address: gateway.address, request: request, behaviour: behaviour) { result in
          results[index] = result
          if results.allSatisfy({ $0 != nil }) { loop.stop() }
        }.start()
      }
      if results.contains(where: { $0 == nil }) { loop.run() }
    } catch {
      throw FlagsFailure(.inputOutput, "loop", "\(error)", next: "try again")
    }
    return zip(gateways, results).map { Self.answer($0.url, path, $1) }
  }

  private static func answer(_ url: String, _ path: String, _ result: ClientResult?) -> Answer {
    let status = result?.status ?? 0
    if let result, (200...299).contains(status), let document = try? JSONValue(parsing: result.body) {
      return Answer(url: url, status: status, document: document, fault: nil)
    }
    let path = path.split(separator: "?")[0]
    let ending = result.map { words(for: $0.end) } ?? "nothing came"
    let fault = status == 0 ? "\(url)\(path) did not answer: \(ending)" : "\(url)\(path) answered \(status)"
    return Answer(url: url, status: status, document: nil, fault: fault)
  }
}

extension AdminGateways {
  /// How a request ended that brought no answer, for people.
  private static func words(for end: ClientResult.End) -> String {
    switch end {
    case .unreachable(let reason): reason
    case .malformed(let what): "it speaks no HTTP (\(what))"
    case .timedOut: "no answer within \(Int(patience.seconds)) s"
    case .clean, .truncated, .hungUp: "the connection was closed"
    case .reset: "the connection was reset"
    }
  }
}

/// `kill --admin` and `unkill --admin`.
extension AdminGateways {
  func kill(_ invocation: FlagsInvocation) throws(FlagsFailure) -> FlagsOutput {
    let isHard = invocation.arguments.has("--hard")
    return Self.output(try ask("POST", "/kill?" + Self.query(invocation) + (isHard ? "&hard=1" : "")), isKill: true)
  }

  func unkill(_ invocation: FlagsInvocation) throws(FlagsFailure) -> FlagsOutput {
    Self.output(try ask("POST", "/unkill?" + Self.query(invocation)), isKill: false)
  }

  private static func query(_ invocation: FlagsInvocation) -> String {
    let actor = invocation.arguments["--actor"] ?? Caller.name
    return "actor=\(encoded(actor))&reason=\(encoded(invocation.arguments["--reason"] ?? ""))"
  }

  private static func encoded(_ text: String) -> String {
    var out = ""
    for byte in text.utf8.prefix(400) {
      let isPlain = (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
      out += isPlain ? String(UnicodeScalar(byte)) : (byte < 16 ? "%0" : "%") + String(byte, radix: 16)
    }
    return out
  }

  private static func output(_ answers: [Answer], isKill: Bool) -> FlagsOutput {
    let lines = answers.map { line(of: $0, isKill: isKill) }
    let data = answers.map { answer -> JSONValue in
      var object: JSONObject = ["admin": .string(answer.url)]
      for member in answer.document?.object?.members ?? [] { object[member.name] = member.value }
      if let fault = answer.fault { object["fault"] = .string(fault) }
      return .object(object)
    }
    var output = FlagsOutput(kind: isKill ? "Kill" : "Unkill", data: .array(data), text: lines.joined(separator: "\n"))
    output.warnings = answers.compactMap { answer in
      guard isKill, let document = answer.document, document["kept"] == false else { return nil }
      let why = document["keptFault"]?.string ?? "it has no state file (flags.guardState)"
      return "\(answer.url): a restart forgets this kill: \(why)"
    }
    output.warnings += answers.compactMap { answer in
      answer.document?["shared"]?["reason"]?.string.map { reason in
        "\(answer.url): the other gateways are not told before Redis is back (\(reason)): name each with --admin"
      }
    }
    let isDone = answers.allSatisfy { $0.fault == nil && ($0.document?["inForce"] != false || !isKill) }
    if !isDone {
      output.exit = .inputOutput
      output.text += "\n  ask again those that did not answer; by the file: fermata flags \(isKill ? "kill" : "enable")"
    }
    return output
  }

  private static func line(of answer: Answer, isKill: Bool) -> String {
    guard let document = answer.document else { return "\(answer.url): NOT done: \(answer.fault ?? "")" }
    let workers = document["workers"]?.integer ?? 0
    let already = document["alreadyApplied"] == true ? "already so: " : ""
    if isKill { return "\(answer.url): \(already)killed on \(workers) workers" }
    let rest = document["effect"] == "legacy" ? ", still legacy: by the flag file or the guard" : ""
    return "\(answer.url): \(already)lifted on \(workers) workers\(rest)"
  }
}
