import Harness
import Loop
import Sockets
import TLS
import Testing
import Time

@Suite struct `Servers with several certificates` {
  private static func serve(
    _ identities: [TLSIdentity], strict: Bool = false, protocols: [String] = ["http/1.1"]
  ) throws -> TLSContext {
    var settings = TLSServerSettings(identities: identities)
    settings.refusesUnknownNames = strict
    settings.protocols = protocols
    return try TLSContext(server: settings)
  }

  private static func identities() throws -> [TLSIdentity] {
    [try Certificates.localhost.get(), try Certificates.wild.get(), try Certificates.exact.get()]
  }

  @Test(arguments: [
    ("localhost", true), ("b.wild.example", true), ("B.WILD.example", true), ("a.wild.example", true),
    ("wild.example", false), ("a.b.wild.example", false), ("unknown.example", false), ("127.0.0.1", true),
  ])
  func `the certificate is the one for the name`(name: String, isFound: Bool) throws {
    let test = try TestLoop()
    let result = try shakeHands(test, server: Self.serve(Self.identities()), client: clientContext(), serverName: name)
    #expect(((try? result.client.get()) != nil) == isFound)
    (try? result.client.get())?.close()
    (try? result.server.get())?.close()
  }

  @Test func `an unknown name is refused where names are strict, none at all is not`() throws {
    let test = try TestLoop()
    let server = try Self.serve(Self.identities(), strict: true)
    let unknown = try shakeHands(
      test, server: server, client: clientContext(), serverName: "other.example")
    guard case .failure(.alert(let alert)) = unknown.client else {
      Issue.record("it was not refused")
      return
    }
    #expect(alert.rawValue == 112)
    let address = try shakeHands(test, server: server, client: clientContext(), serverName: "127.0.0.1")
    try address.client.get().close()
    try address.server.get().close()
  }

  @Test func `there must be a certificate`() {
    #expect(throws: TLSError.self) { try TLSContext(server: TLSServerSettings(identities: [])) }
  }

  @Test func `a session is taken up by another context that shares keys, also after one rotation, not after two`()
    throws
  {
    let test = try TestLoop()
    let tickets = TicketKeys()
    let client = try clientContext()
    var resumed: [Bool] = []
    for round in 0..<4 {
      if round == 2 { tickets.rotate() }
      if round == 3 {
        tickets.rotate()
        tickets.rotate()
      }
      let sockets = try PlainPair(test)
      let terms = TLSAcceptTerms(budget: HandshakeBudget(loop: test.loop), tickets: tickets) { $0.close() }
      var accepted: TLSConnection?
      var connected: TLSConnection?
      TLSConnection.accept(
        over: sockets.server, context: try serverContext(), timeout: .seconds(5), terms: terms
      ) { accepted = try? $0.get() }
      TLSConnection.connect(over: sockets.client, context: client, serverName: "localhost", timeout: .seconds(5)) {
        connected = try? $0.get()
      }
      test.run(until: { accepted != nil && connected != nil })
      let recorder = Recorder(try #require(connected))
      accepted?.write([1, 2, 3].span)
      test.run(until: { recorder.receivedCount == 3 })
      resumed.append(accepted?.isResumed == true)
      connected?.close()
      accepted?.close()
    }
    #expect(resumed == [false, true, true, false])
  }
}
