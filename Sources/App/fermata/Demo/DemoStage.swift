import Files
import Harness
import Loop
import Processes
import TLS
import Time

/// The backend, the gateway and the flag file of the demo, and the thread that its clients live on.
final class DemoStage: Sendable {
  enum Place {
    case backend, gateway
  }

  enum Flags: String {
    case legacy, shield, graceful, killed
  }

  let backend: ScriptedBackend
  let gateway: DemoGateway
  let flagFile: String
  private let directory: TemporaryDirectory
  private let certificates: TestCertificates?
  /// How clients reach the gateway.
  private let transport: ClientTransport
  private let clients: ClientLoop

  private init(
    backend: ScriptedBackend, gateway: DemoGateway, directory: TemporaryDirectory, flagFile: String,
    certificates: TestCertificates?
  ) throws {
    self.certificates = certificates
    transport = try certificates.map { try Self.transport(trusting: $0) } ?? ClientTransport()
    self.backend = backend
    self.gateway = gateway
    self.directory = directory
    self.flagFile = flagFile
    clients = try ClientLoop.start()
  }

  private static func transport(trusting certificates: TestCertificates) throws -> ClientTransport {
    var settings = TLSClientSettings()
    (settings.roots, settings.protocols) = (certificates.roots, ["h2"])
    return ClientTransport(tls: try TLSContext(client: settings), speaksHTTP2: true)
  }

  /// - Parameter isSecure: whether the gateway is reached over TLS and HTTP/2.
  static func build(isSecure: Bool) throws -> DemoStage {
    let directory = try TemporaryDirectory(prefix: "fermata-demo")
    var certificates: TestCertificates?
    do {
      if isSecure { certificates = try TestCertificates() }
      let flagFile = try directory.write("flags.json", flagText(.legacy))
      let backend = try ScriptedBackend.start(choose: DemoAnswer.choose)
      let gateway = try DemoGateway.start(
        configFile: directory.write("fermata.json5", configText(backend: backend.url)), flagFile: flagFile,
        logFile: directory.write("gateway.log", ""), identity: certificates?.identity())
      return try DemoStage(
        backend: backend, gateway: gateway, directory: directory, flagFile: flagFile, certificates: certificates)
    } catch {
      directory.remove()
      certificates?.remove()
      throw error
    }
  }

  /// Takes everything down.
  func strike() {
    clients.stop()
    gateway.stop()
    backend.stop()
    directory.remove()
    certificates?.remove()
  }

  /// Where clients find the gateway.
  var url: String { (certificates == nil ? "http://" : "https://") + "\(gateway.address)" }

  /// What is to be done like `client` does, at the gateway.
  private func behaviour(of client: DemoClient) -> ClientBehaviour {
    var behaviour = client.behaviour
    (behaviour.tls, behaviour.speaksHTTP2) = (transport.tls, transport.speaksHTTP2)
    return behaviour
  }

  /// The whole answer, as one client reads it.
  func read(_ client: DemoClient, from place: Place) async -> ClientResult {
    let request = client.request("/answer")
    return switch place {
    case .backend: await clients.fetch(request, from: backend.address, behaviour: client.behaviour)
    case .gateway: await clients.fetch(request, from: gateway.address, behaviour: behaviour(of: client))
    }
  }

  /// An answer through the gateway that takes a while.
  func open(_ client: DemoClient, pace: Nanoseconds) -> LiveStream {
    let target = "/answer?pace=\(Int(pace.milliseconds))"
    return clients.open(client.request(target), from: gateway.address, behaviour: behaviour(of: client))
  }

  /// Replaces the flag file and waits until a new stream follows it.
  func switchFlags(to flags: Flags) async throws -> DemoCast.Switch {
    let written = SystemClock.now
    try AtomicFile.replace(flagFile, with: Array(Self.flagText(flags).utf8))
    // Which client's mode changes with this step.
    let client = flags == .killed ? DemoClient.new : .old
    let expected = flags == .shield ? "shield" : "legacy"
    while SystemClock.now - written < .seconds(5) {
      let answer = await clients.fetch(
        client.request("/hello"), from: gateway.address, behaviour: behaviour(of: client))
      guard answer.status == 200 else { throw DemoError("the gateway does not answer any more: \(answer.end)") }
      if answer.head.value("X-Stream-Mode") == expected {
        return DemoCast.Switch(time: answer.startedAt - written)
      }
      try await Task.sleep(for: .milliseconds(5))
    }
    throw DemoError("the gateway does not follow \(flagFile): no stream is \(expected) after five seconds")
  }

  /// The gateway's own counters of what graceful would have saved.
  func shadowCounters() async -> [String: Int] {
    let answer = await clients.fetch(ClientRequest("GET", "/metrics"), from: gateway.adminAddress)
    var counters: [String: Int] = [:]
    for line in answer.text.split(separator: "\n") where line.hasPrefix("fermata_shadow_") {
      let words = line.split(separator: " ")
      if words.count == 2 { counters[String(words[0])] = Int(words[1]) }
    }
    return counters
  }

  /// Only the page's streams are kept as runs.
  private static func configText(backend: String) -> String {
    """
    {
      upstreams: { backend: { url: "\(backend)" } },
      routes: [
        { name: "live", path: "/live", upstreams: ["backend"], runs: { onDisconnect: "grace=60" } },
        { name: "all", path: "/*", upstreams: ["backend"] },
      ],
    }

    """
  }

  private static func flagText(_ flags: Flags) -> String {
    """
    {
      "$schema": "https://flagd.dev/schema/v0/flags.json",
      "flags": {
        "stream-closing": {
          "state": "\(flags == .killed ? "DISABLED" : "ENABLED")",
          "variants": { "legacy": "legacy", "shield": "shield", "graceful": "graceful" },
          "defaultVariant": "\(flags == .killed ? "graceful" : flags.rawValue)"
        }
      },
      "metadata": { "flagSetId": "demo", "version": "\(flags.rawValue)" }
    }

    """
  }

  /// Stays up until the process is told to end. The gateway watches the signals, as it always does.
  func waitForInterrupt() {
    let (curl, tail) = certificates.map { ("curl --cacert \($0.roots)", " --roots \($0.roots)") } ?? ("curl", "")
    Terminal.print(
      """

      It stays up until Ctrl-C, with the flag at graceful. In a browser, an old client and fermata-client side by side,
      with buttons to cut, resume, cancel and replace the stream:

        \(url)/

      In another terminal:

        # a client that does not opt in, one that does, and one that checks what it got
        \(curl) -sN \(url)/answer
        \(curl) -siN -H 'Prefer: stream-end' \(url)/answer
        \(Program.invocation) tail \(url)/answer\(tail)

        # the backend without the gateway
        curl -sN \(backend.url)/answer

        # legacy, shield or graceful; then ask again
        \(Program.invocation) flags set --default shield --reason trying --file \(flagFile)
        \(Program.invocation) flags kill --reason trying --file \(flagFile)

        # what graceful would have saved, and the log
        curl -s http://\(gateway.adminAddress)/metrics | grep fermata_shadow
        tail -f \(directory.path)/gateway.log
      """)
    gateway.waitForEnd()
  }
}
