import Harness
import Loop
import Processes
import Time

extension Verb {
  static let health = Verb(
    name: "health", summary: "ask a running gateway whether it is alive, for containers without curl",
    help: """
      usage: fermata health [--ready] [--admin URL] [--token TOKEN]

        --ready          ask whether it takes clients (/readyz) instead of whether it is alive (/healthz)
        --admin URL      its operators' listener; default http://127.0.0.1:8081, or FERMATA_ADMIN_LISTEN
        --token TOKEN    the operators' token; default: FERMATA_ADMIN_TOKEN

      Prints what the gateway answers. Waits for 5 s at most.

      \(ExitStatus.help(of: "health"))
      """, options: ["--ready", "--admin", "--token"]
  ) { arguments in
    do throws(Arguments.Mistake) {
      let parsed = try Arguments(arguments, options: ["--admin", "--token"], switches: ["--ready"])
      return ask(
        parsed.has("--ready") ? "/readyz" : "/healthz", of: try adminAddress(parsed["--admin"]),
        token: parsed["--token"] ?? Host.environment["FERMATA_ADMIN_TOKEN"])
    } catch {
      return misused("health", error)
    }
  }

  /// Where the operators' listener is that an option or the environment names.
  static func adminAddress(_ option: String?) throws(Arguments.Mistake) -> SocketAddress {
    let text = option ?? Host.environment["FERMATA_ADMIN_LISTEN"] ?? "127.0.0.1:8081"
    var host = text[...]
    if host.hasPrefix("http://") { host = host.dropFirst(7) }
    while host.hasSuffix("/") { host = host.dropLast() }
    // A listener on every address is asked on this machine's own.
    if host.hasPrefix(":") { host = "127.0.0.1" + host }
    if host.hasPrefix("0.0.0.0:") { host = "127.0.0.1" + host.dropFirst(7) }
    if host.hasPrefix("[::]:") { host = "[::1]" + host.dropFirst(4) }
    guard let address = SocketAddress(parsing: String(host)) else {
      throw Arguments.Mistake(message: "--admin wants an address such as http://127.0.0.1:8081, not \"\(text)\"")
    }
    return address
  }

  private static func ask(_ path: String, of address: SocketAddress, token: String?) -> Int32 {
    var fields = [Script.Field("Connection", "close")]
    if let token { fields.append(Script.Field("Authorization", "Bearer \(token)")) }
    var behaviour = ClientBehaviour()
    behaviour.timeout = .seconds(5)
    var result: ClientResult?
    do {
      let loop = try EventLoop()
      StreamClient(
        loop: loop, address: address, request: ClientRequest("GET", path, fields: fields), behaviour: behaviour
      ) {
        result = $0
        loop.stop()
      }.start()
      if result == nil { loop.run() }
    } catch {
      Terminal.error("fermata health: \(error)")
      return ExitStatus.failure
    }
    guard let result, result.status > 0 else {
      Terminal.error("fermata health: http://\(address)\(path) does not answer")
      return ExitStatus.failure
    }
    var text = result.text
    while text.hasSuffix("\n") { text.removeLast() }
    Terminal.print(text)
    return result.status == 200 ? ExitStatus.success : ExitStatus.failure
  }
}
