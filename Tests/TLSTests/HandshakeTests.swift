import Glibc
import Harness
import Loop
import Processes
import Sockets
import TLS
import Testing
import Time

@Suite struct HandshakeTests {
  let test: TestLoop

  init() throws { test = try TestLoop() }

  private func certificateFault(_ outcome: Outcome) -> String? {
    guard case .certificate(let reason)? = fails(outcome) else { return nil }
    return reason
  }

  @Test func `a peer with another name is refused`() throws {
    let ends = try shakeHands(test, server: try serverContext(), client: try clientContext(), serverName: "example.com")
    #expect(certificateFault(ends.client) == "hostname mismatch")
    #expect(fails(ends.server) != nil)
  }

  @Test func `an address must be in the certificate as an address`() throws {
    let server = try serverContext()
    let good = try shakeHands(test, server: server, client: try clientContext(), serverName: "127.0.0.1")
    #expect(fails(good.client) == nil)
    _ = fails(good.server)
    let bad = try shakeHands(test, server: server, client: try clientContext(), serverName: "127.0.0.2")
    #expect(certificateFault(bad.client) == "IP address mismatch")
    let six = try shakeHands(test, server: server, client: try clientContext(), serverName: "[::1]")
    #expect(certificateFault(six.client) == "IP address mismatch")
  }

  @Test func `a name with a dot at its end is the same name`() throws {
    let ends = try shakeHands(test, server: try serverContext(), client: try clientContext(), serverName: "localhost.")
    #expect(fails(ends.client) == nil)
  }

  @Test func `a name of its own goes before the one that was dialled`() throws {
    let server = try serverContext(try Certificates.elsewhere.get())
    let client = try clientContext { $0.serverName = "elsewhere.example" }
    #expect(fails(try shakeHands(test, server: server, client: client).client) == nil)
    #expect(fails(try shakeHands(test, server: server, client: try clientContext()).client) != nil)
  }

  @Test func `an expired certificate is refused`() throws {
    let server = try serverContext(try Certificates.expired.get())
    let ends = try shakeHands(test, server: server, client: try clientContext())
    #expect(certificateFault(ends.client) == "certificate has expired")
  }

  @Test func `an authority that nobody knows is refused`() throws {
    let others = try Certificates.otherAuthority.get()
    let client = try clientContext { $0.roots = others.roots }
    #expect(certificateFault(try shakeHands(test, server: try serverContext(), client: client).client) != nil)
    let system = try clientContext { $0.roots = nil }
    #expect(certificateFault(try shakeHands(test, server: try serverContext(), client: system).client) != nil)
  }

  @Test func `verification is off only when told`() throws {
    let client = try clientContext {
      $0.roots = nil
      $0.verifiesPeer = false
    }
    let server = try serverContext(try Certificates.expired.get())
    let ends = try shakeHands(test, server: server, client: client, serverName: "example.com")
    #expect(fails(ends.client) == nil)
  }

  @Test func `a server that wants a certificate gets one, or ends the connection`() throws {
    let server = try serverContext(clientRoots: try Certificates.shared.get().roots)
    let identity = try Certificates.client.get()
    let known = try Pair(test, server: server, client: try clientContext { $0.identity = identity })
    known.client.write("it is me")
    test.run(until: { known.server.text == "it is me" })

    // In TLS 1.3 the client has shaken hands before the server looks at what it was shown.
    let ends = try shakeHands(test, server: server, client: try clientContext())
    #expect(fails(ends.server) != nil)
    let unknown = Recorder(try ends.client.get())
    test.run(until: { unknown.hasFailed })
    #expect(unknown.ends == [.failed(.alert(.certificateRequired))])
  }

  @Test func `a refusal is known even if the server's reset is met before it is read`() throws {
    let server = try serverContext(clientRoots: try Certificates.shared.get().roots)
    let ends = try shakeHands(test, server: server, client: try clientContext())
    #expect(fails(ends.server) != nil)
    let client = Recorder(try ends.client.get(), reads: false)
    // The first is answered with a reset, the second meets it.
    client.write("one")
    test.run(for: .milliseconds(50))
    client.write("two")
    test.run(until: { client.hasFailed })
    #expect(client.ends == [.failed(.alert(.certificateRequired))])
  }

  @Test func `in TLS 1.2 a refusal comes within the handshake`() throws {
    let server = try serverContext(clientRoots: try Certificates.shared.get().roots, newest: .version12)
    let ends = try shakeHands(test, server: server, client: try clientContext())
    #expect(fails(ends.server) != nil && fails(ends.client) == .alert(.handshakeFailure))
  }

  @Test func `a handshake that hangs ends at its deadline`() throws {
    MachineDelay.watch()
    let sockets = try PlainPair(test)
    var outcome: Outcome?
    let start = test.loop.readClock()
    TLSConnection.connect(
      over: sockets.client, context: try clientContext(), serverName: "localhost", timeout: .milliseconds(200)
    ) { outcome = $0 }
    #expect(outcome == nil)
    test.run(until: { outcome != nil })
    let elapsed = test.loop.readClock() - start
    #expect(elapsed >= .milliseconds(200) && elapsed < .milliseconds(600) + MachineDelay.since(start))
    #expect(outcome.flatMap(fails) == .timeout)
  }

  @Test func `a handshake that is cancelled says nothing and closes its socket`() throws {
    let sockets = try PlainPair(test)
    let server = Recorder(sockets.server)
    var isCalled = false
    let handshake = TLSConnection.connect(
      over: sockets.client, context: try clientContext(), serverName: "localhost", timeout: .seconds(5)
    ) { _ in isCalled = true }
    handshake.cancel()
    test.run(until: { server.ends == [.finished] })
    #expect(!isCalled)
    #expect(sockets.client.isClosed)
  }

  @Test func `a peer that hangs up, resets or speaks no TLS is told apart`() throws {
    func attempt(_ serverDoes: @escaping (TCPConnection) -> Void) throws -> TLSError? {
      let sockets = try PlainPair(test)
      let server = Recorder(sockets.server)
      server.onReceive = { server, _ in serverDoes(server.connection) }
      var outcome: Outcome?
      TLSConnection.connect(
        over: sockets.client, context: try clientContext(), serverName: "localhost", timeout: .seconds(5)
      ) { outcome = $0 }
      test.run(until: { outcome != nil })
      return outcome.flatMap(fails)
    }
    #expect(try attempt { $0.close() } == .closed)
    #expect(try attempt { $0.reset() } == .socket(.reset))
    let answer = Array("HTTP/1.1 400 Bad Request\r\n\r\n".utf8)
    #expect(try attempt { $0.write(answer.span) } == .handshake("wrong version number"))
  }

  @Test func `a socket that is closed already fails politely`() throws {
    let sockets = try PlainPair(test)
    sockets.client.close()
    var outcome: Outcome?
    TLSConnection.connect(
      over: sockets.client, context: try clientContext(), serverName: "localhost", timeout: .seconds(5)
    ) { outcome = $0 }
    test.run(until: { outcome != nil })
    #expect(outcome.flatMap(fails) == .closed)
  }

  @Test(arguments: ["", "two words", "name\u{0}.example", "a:b", String(repeating: "a", count: 300)])
  func `what can't be a server's name is refused`(name: String) throws {
    let ends = try shakeHands(test, server: try serverContext(), client: try clientContext(), serverName: name)
    guard case .setting? = fails(ends.client) else {
      Issue.record("accepted")
      return
    }
    #expect(throws: TLSError.self) { try clientContext { $0.serverName = name } }
  }

  @Test func `a peer of TLS 1.1 is refused, one of 1.2 is not`() throws {
    let identity = try Certificates.localhost.get()
    for (version, isAccepted) in [("-tls1_1", false), ("-tls1_2", true), ("-tls1_3", true)] {
      let port = try freePort()
      // Listens until it is killed; whether it speaks is seen by connecting.
      let server = try ChildProcess(
        [
          "openssl", "s_server", version, "-cipher", "ALL:@SECLEVEL=0", "-accept", "\(port)", "-cert",
          identity.certificate, "-key", identity.key, "-quiet",
        ], errorFile: "/dev/null")
      defer { server.stop() }
      let connection = try dial(port)
      var outcome: Outcome?
      TLSConnection.connect(
        over: connection, context: try clientContext(), serverName: "localhost", timeout: .seconds(5)
      ) { outcome = $0 }
      test.run(until: { outcome != nil })
      switch outcome {
      case .success(let connection):
        #expect(isAccepted, "\(version)")
        #expect(connection.version == (version == "-tls1_2" ? "TLSv1.2" : "TLSv1.3"))
        connection.close()
      case .failure(let error):
        #expect(!isAccepted, "\(version): \(error)")
        #expect("\(error)".contains("alert 70"), "\(error)")
      case nil: break
      }
    }
  }

  private func freePort() throws -> UInt16 {
    let listener = try Listener(loop: test.loop, address: .loopback(port: 0)) { _ in }
    defer { listener.close() }
    return listener.localAddress.port
  }

  /// Connects as soon as somebody listens.
  private func dial(_ port: UInt16) throws -> TCPConnection {
    for _ in 0..<200 {
      var result: Result<TCPConnection, DialError>?
      Dialer(loop: test.loop).connect(host: "127.0.0.1", port: port, timeout: .seconds(2)) { result = $0 }
      test.run(until: { result != nil })
      if let connection = try? result?.get() { return connection }
      test.run(for: .milliseconds(25))
    }
    throw TLSError.timeout
  }
}
