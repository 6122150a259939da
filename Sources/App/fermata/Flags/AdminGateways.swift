import Bytes
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

  private struct Gateway {
    let url: String
    /// The name to look up, where the URL has no address.
    let host: String
    let port: UInt16
    let address: SocketAddress?
  }

  private let gateways: [Gateway]
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
    var gateways: [Gateway] = []
    for url in urls where !gateways.contains(where: { $0.url == url }) { gateways.append(try Self.gateway(url)) }
    self.gateways = gateways
    token = invocation.arguments["--token"] ?? Host.environment["FERMATA_ADMIN_TOKEN"]
  }

  private static func gateway(_ url: String) throws(FlagsFailure) -> Gateway {
    var place = url[...]
    if place.hasPrefix("http://") { place = place.dropFirst(7) }
    while place.hasSuffix("/") { place = place.dropLast() }
    if let address = SocketAddress(parsing: String(place)) {
      return Gateway(url: url, host: "", port: address.port, address: address)
    }
    let parts = place.split(separator: ":", omittingEmptySubsequences: false)
    let isName = parts[0].utf8.allSatisfy { byte in
      byte.isASCIIDigit || byte.asciiLowercased &- 0x61 < 26 || byte == UInt8(ascii: "-") || byte == UInt8(ascii: ".")
    }
    guard parts.count == 2, isName, !parts[0].isEmpty, let port = UInt16(parts[1]), port > 0 else {
      throw .usage(
        "--admin takes the address or the name of an admin listener and its port, such as http://127.0.0.1:8081, "
          + "not \"\(url)\"")
    }
    return Gateway(url: url, host: String(parts[0]), port: port, address: nil)
  }

  /// Asks all of them; one that does not answer holds nobody up.
  func ask(_ method: String, _ path: String) throws(FlagsFailure) -> [Answer] {
    var fields = [Script.Field("Connection", "close")]
    if let token { fields.append(Script.Field("Authorization", "Bearer \(token)")) }
    let request = ClientRequest(method, path, fields: fields)
    var results = [ClientResult?](repeating: nil, count: gateways.count)
    var nameless = [String?](repeating: nil, count: gateways.count)
    do {
      let loop = try EventLoop()
      let resolver = Resolver(loop: loop)
      var waiting = gateways.count
      func isDone() {
        waiting -= 1
        if waiting == 0 { loop.stop() }
      }
      func connect(to addresses: ArraySlice<SocketAddress>, _ index: Int) {
        guard let address = addresses.first else { return isDone() }
        var behaviour = ClientBehaviour()
        behaviour.timeout = Self.patience
        StreamClient(loop: loop, address: address, request: request, behaviour: behaviour) { result in
          results[index] = result
          // A name may have addresses of both families where the gateway listens on one.
          if case .unreachable = result.end, addresses.count > 1 { return connect(to: addresses.dropFirst(), index) }
          isDone()
        }.start()
      }
      for (index, gateway) in gateways.enumerated() {
        if let address = gateway.address {
          connect(to: [address], index)
        } else {
          resolver.resolve(host: gateway.host, port: gateway.port) { found in
            switch found {
            case .success(let addresses): connect(to: addresses[...], index)
            case .failure(let error):
              nameless[index] = "\(error)"
              isDone()
            }
          }
        }
      }
      if waiting > 0 { loop.run() }
    } catch {
      throw FlagsFailure(.inputOutput, "loop", "\(error)", next: "try again")
    }
    return gateways.indices.map { index in
      let url = gateways[index].url
      guard let fault = nameless[index] else { return Self.answer(url, path, results[index]) }
      return Answer(url: url, status: 0, document: nil, fault: "\(url): \(fault)")
    }
  }

  private static func answer(_ url: String, _ path: String, _ result: ClientResult?) -> Answer {
    let status = result?.status ?? 0
    if let result, (200...299).contains(status), let document = try? JSONValue(parsing: result.body) {
      return Answer(url: url, status: status, document: document, fault: nil)
    }
    let path = path.split(separator: "?")[0]
    let ending = result.map { words(for: $0.end) } ?? "nothing came"
    let refusal = [
      401: ": it wants its token (--token, or FERMATA_ADMIN_TOKEN)",
      403: ": this token does not allow it, admin.token does",
    ]
    let fault =
      status == 0
      ? "\(url)\(path) did not answer: \(ending)" : "\(url)\(path) answered \(status)\(refusal[status] ?? "")"
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
    if document["harderStays"] == true {
      return
        "\(answer.url): already killed for open streams too (--hard) on \(workers) workers, which stays; to weaken it: "
        + "fermata flags unkill --admin \(answer.url), then fermata flags kill --admin \(answer.url)"
    }
    let already = document["alreadyApplied"] == true ? "already so: " : ""
    if isKill { return "\(answer.url): \(already)killed on \(workers) workers" }
    let rest = document["effect"] == "legacy" ? ", still legacy: by the flag file or the guard" : ""
    return "\(answer.url): \(already)lifted on \(workers) workers\(rest)"
  }
}
