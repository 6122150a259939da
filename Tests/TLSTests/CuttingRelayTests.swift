import Harness
import TLS
import Testing
import Time

/// The relay of tests that cuts connections, with TLS on both sides.
@Suite struct CuttingRelayTests {
  @Test func `a relay over TLS cuts the first connection behind its text and passes on the next`() async throws {
    let script = Script([
      .head(), .event(nil, "one"), .event(nil, "two"), .pause(.milliseconds(20)), .event(nil, "three"), .end,
    ])
    let world = try World(TLSServerSettings(identity: try Certificates.localhost.get()), script, cuttingBehind: "two")
    defer { world.stop() }
    let cut = try await world.fetch(offering: ["http/1.1"])
    #expect(cut.end == .truncated && cut.text == "data: one\n\ndata: two", "\(cut.end) \(cut.text)")
    let whole = try await world.fetch(offering: ["http/1.1"])
    #expect(whole.end == .clean && whole.events.map(\.data) == ["one", "two", "three"], "\(whole.end)")
  }

  @Test func `a relay does not speak with the server what the client did not ask for`() async throws {
    var settings = TLSServerSettings(identity: try Certificates.localhost.get())
    settings.protocols = ["h2"]
    // Whoever offers HTTP/1.1 alone is refused here.
    let world = try World(settings, .events(["1"]), cuttingBehind: "nothing")
    defer { world.stop() }
    for (protocols, reaches) in [(["http/1.1"], false), ([], true)] {
      let answer = try await world.fetch(offering: protocols)
      #expect((answer.status == 200) == reaches, "\(protocols): \(answer.end)")
    }
  }

  /// A backend over TLS behind the relay.
  private struct World {
    let backend: ScriptedBackend
    let clients: ClientLoop
    let relay: CuttingRelay
    let trust: TLSClientSettings

    init(_ settings: TLSServerSettings, _ script: Script, cuttingBehind text: String) throws {
      var trust = TLSClientSettings()
      trust.roots = try Certificates.shared.get().roots
      self.trust = trust
      backend = try ScriptedBackend.start(tls: settings) { _ in script }
      clients = try ClientLoop.start()
      relay = try CuttingRelay.start(
        to: backend.address, cuttingBehind: text, over: RelaySecurity(near: serverContext(), far: trust))
    }

    func fetch(offering protocols: [String]) async throws -> ClientResult {
      var (trust, behaviour) = (trust, ClientBehaviour())
      trust.protocols = protocols
      behaviour.tls = try TLSContext(client: trust)
      return await clients.fetch(ClientRequest(), from: relay.address, behaviour: behaviour)
    }

    func stop() {
      relay.stop()
      clients.stop()
      backend.stop()
    }
  }
}
