import Glibc
import Harness
import Loop
import Processes
import Sockets
import Synchronization
import TLS
import Testing
import Time

/// Which sessions of clients are taken up by whom.
@Suite struct `Sessions that are taken up` {
  @Test func `two hundred sessions are taken up by four loops, over new contexts and a rotation of the keys`() throws {
    let test = try TestLoop()
    let (tickets, client) = (TicketKeys(), try clientContext())
    var resumed: [Bool] = []
    for round in 0..<2 {
      if round == 1 { tickets.rotate() }
      let loops = try AcceptingLoops(4, context: try serverContext(), tickets: tickets)
      for index in 0..<(round == 0 ? 101 : 100) {
        resumed.append(try Self.isResumed(test, at: loops.ports[index % 4], client))
      }
      loops.stop()
    }
    #expect(resumed.first == false && resumed.filter { $0 }.count >= 190, "of 200")
  }

  /// Connects, and takes what comes, so that the next connection has a ticket.
  private static func isResumed(_ test: TestLoop, at port: UInt16, _ context: TLSContext) throws -> Bool {
    var outcome: Outcome?
    Dialer(loop: test.loop).connect(host: "127.0.0.1", port: port, timeout: .seconds(5), options: SocketOptions()) {
      guard let connection = try? $0.get() else { return }
      TLSConnection.connect(over: connection, context: context, serverName: "localhost", timeout: .seconds(5)) {
        outcome = $0
      }
    }
    test.run(until: { outcome != nil })
    let recorder = Recorder(try #require(outcome).get())
    test.run(until: { recorder.receivedCount == 3 })
    defer { recorder.connection.close() }
    return recorder.connection.isResumed
  }

  /// A certificate that has a few seconds to live.
  private static func shortLived(_ seconds: Int) throws -> TLSIdentity {
    let authority = try Certificates.shared.get()
    let identity = try authority.identity("short", for: "DNS:client.example")
    let settings = """
      [ca]
      default_ca = own
      [own]
      database = database
      new_certs_dir = .
      default_md = sha256
      rand_serial = yes
      policy = any
      [any]
      commonName = supplied
      """
    let script = """
      cd "$0"; : > database; printf '%s\\n' "$1" > settings
      openssl ca -batch -notext -config settings -in short.request -cert authority.pem \
        -keyfile authority.key -extfile short.extensions -out short.pem \
        -enddate "$(date -u -d "+$2 seconds" +%y%m%d%H%M%SZ)" 2> errors.txt
      """
    let tool = try ChildProcess(["sh", "-c", script, authority.directory, settings, "\(seconds)"])
    try #require(tool.wait(timeout: .seconds(20)) == .code(0))
    return identity
  }

  @Test func `a session ends with the certificate that its client showed`() throws {
    let test = try TestLoop()
    let (roots, identity) = (try Certificates.shared.get().roots, try Self.shortLived(4))
    let begun = SystemClock.now
    let sides = try [TLSVersion.version12, .version13].map { newest in
      (try serverContext(clientRoots: roots, newest: newest), try clientContext { $0.identity = identity })
    }
    for (server, client) in sides {
      for isResumed in [false, true] {
        let pair = try Pair(test, server: server, client: client)
        pair.server.write("hello")
        test.run(until: { pair.client.text == "hello" })
        #expect(pair.server.connection.isResumed == isResumed)
        pair.client.connection.close()
        pair.server.connection.close()
      }
    }
    // Certificates tell time in whole seconds.
    SystemClock.sleep(max(.zero, .milliseconds(5100) - (SystemClock.now - begun)))
    for (server, client) in sides {
      let late = try shakeHands(test, server: server, client: client)
      #expect(fails(late.server) == .certificate("certificate has expired"))
      _ = fails(late.client)
    }
  }
}

/// Loops on threads of their own, as workers are, each with a listener that greets its clients with three bytes.
private final class AcceptingLoops {
  let ports: [UInt16]
  private let threads: [LoopThread]
  private let acceptors: [LoopBound<Acceptor>]

  init(_ count: Int, context: TLSContext, tickets: TicketKeys) throws {
    let begun = Mutex<[Int: (port: UInt16, acceptor: LoopBound<Acceptor>)]>([:])
    threads = try (0..<count).map { number in
      try LoopThread.start(name: "accepts \(number)") { loop in
        guard let acceptor = try? Acceptor(loop, context, tickets) else { return }
        let bound = LoopBound(acceptor, loop: loop)
        let port = acceptor.port
        begun.withLock { $0[number] = (port, bound) }
      }
    }
    let limit = SystemClock.now + .seconds(20)
    while begun.withLock({ $0.count }) < count, SystemClock.now < limit { SystemClock.sleep(.milliseconds(1)) }
    let all = begun.withLock { begun in (0..<count).compactMap { begun[$0] } }
    ports = all.map(\.port)
    acceptors = all.map(\.acceptor)
    try #require(all.count == count)
  }

  func stop() {
    for (thread, acceptor) in zip(threads, acceptors) { thread.mailbox.post { acceptor.value.stop() } }
    for thread in threads { thread.join() }
  }
}

private final class Acceptor {
  private let loop: EventLoop
  private var listener: Listener?
  private var connections: [TLSConnection] = []
  let port: UInt16

  init(_ loop: EventLoop, _ context: TLSContext, _ tickets: TicketKeys) throws {
    self.loop = loop
    let terms = TLSAcceptTerms(budget: HandshakeBudget(loop: loop), tickets: tickets) { $0.close() }
    var accepted: (TLSConnection) -> Void = { _ in }
    let listener = try Listener(loop: loop, address: .loopback(port: 0)) { connection in
      TLSConnection.accept(over: connection, context: context, timeout: .seconds(5), terms: terms) {
        if let connection = try? $0.get() { accepted(connection) }
      }
    }
    port = listener.localAddress.port
    self.listener = listener
    accepted = { [unowned self] connection in
      connections.append(connection)
      connection.write([1, 2, 3].span)
    }
  }

  func stop() {
    listener?.close()
    for connection in connections { connection.close() }
    listener = nil
    connections = []
    loop.stop()
  }
}
