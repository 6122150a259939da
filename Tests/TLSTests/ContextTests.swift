import Glibc
import Harness
import Loop
import Processes
import Sockets
import TLS
import Testing
import Time

@Suite struct ContextTests {
  let test: TestLoop

  init() throws { test = try TestLoop() }

  @Test func `a file that can't be used is named, with the reason`() throws {
    let identity = try Certificates.localhost.get()
    let folder = try Certificates.shared.get()
    let garbage = folder.path("garbage.pem")
    try #require(creat(garbage, 0o600) >= 0)
    #expect(throws: TLSError.file("/nowhere/roots.pem", reason: "No such file or directory")) {
      try clientContext { $0.roots = "/nowhere/roots.pem" }
    }
    #expect(throws: TLSError.file("/nowhere/c.pem", reason: "No such file or directory")) {
      try clientContext { $0.identity = TLSIdentity(certificate: "/nowhere/c.pem", key: identity.key) }
    }
    #expect(throws: TLSError.file("/nowhere/c.key", reason: "No such file or directory")) {
      try serverContext(TLSIdentity(certificate: identity.certificate, key: "/nowhere/c.key"))
    }
    #expect(throws: TLSError.file(garbage, reason: "no start line")) {
      try serverContext(TLSIdentity(certificate: garbage, key: identity.key))
    }
    let other = try Certificates.client.get()
    #expect(throws: TLSError.file(other.key, reason: "key values mismatch")) {
      try serverContext(TLSIdentity(certificate: identity.certificate, key: other.key))
    }
  }

  @Test(arguments: [TLSVersion.version13, .version12])
  func `the next connection resumes the session of the last`(version: TLSVersion) throws {
    let (server, client) = (try serverContext(newest: version), try clientContext())
    func isResumed(_ name: String = "localhost") throws -> Bool {
      let ends = try shakeHands(test, server: server, client: client, serverName: name)
      let (near, far) = (Recorder(try ends.client.get()), Recorder(try ends.server.get()))
      #expect(near.connection.version == (version == .version13 ? "TLSv1.3" : "TLSv1.2"))
      // Tickets come with the first bytes.
      far.write("hello")
      test.run(until: { near.text == "hello" })
      defer {
        near.connection.close()
        far.connection.close()
      }
      return near.connection.isResumed
    }
    #expect(try !isResumed())
    #expect(try isResumed())
    #expect(try isResumed())
    // A session is good for the name only that was checked.
    #expect(try !isResumed("127.0.0.1"))
    #expect(try isResumed("127.0.0.1"))
  }

  @Test func `a session survives connections that were cut`() throws {
    let (server, client) = (try serverContext(), try clientContext())
    let first = try Pair(test, server: server, client: client)
    first.server.write("hello")
    test.run(until: { first.client.text == "hello" })
    first.server.connection.close()
    test.run(until: { first.client.ends == [.failed(.truncated)] })
    first.client.connection.close()
    let second = try Pair(test, server: server, client: client)
    #expect(second.client.connection.isResumed)
    #expect(second.server.connection.isResumed)
  }

  @Test func `a context serves several loops at once`() throws {
    let (server, client) = (try serverContext(), try clientContext())
    let threads = try (0..<4).map { number in
      try LoopThread.start(name: "tls \(number)") { loop in
        // Each thread shakes hands with itself.
        for _ in 0..<20 { exchange(loop, server: server, client: client) }
        loop.stop()
      }
    }
    for thread in threads { thread.join() }
  }

  @Test func `an idle connection is light`() throws {
    let (server, client) = (try serverContext(), try clientContext())
    // Warm: OpenSSL's own tables.
    var pairs = try (0..<20).map { _ in try Pair(test, server: server, client: client) }
    let before = try residentBytes()
    let count = 200
    for _ in 0..<count {
      let pair = try Pair(test, server: server, client: client)
      pair.server.write("hello")
      test.run(until: { pair.client.text == "hello" })
      pairs.append(pair)
    }
    let each = try (residentBytes() - before) / count / 2
    print("an idle connection over TLS takes \(each) bytes")
    // Sanitizers keep what was freed, or notes of it.
    let isSanitized = dlsym(nil, "__asan_init") != nil || dlsym(nil, "__tsan_init") != nil
    #expect(isSanitized || each < 40_000)
    for pair in pairs {
      pair.client.connection.close()
      pair.server.connection.close()
    }
  }

  private func residentBytes() throws -> Int {
    try ProcessMeter.read(getpid()).residentBytes
  }
}

/// Makes a connection to itself and closes it.
private func exchange(_ loop: EventLoop, server: TLSContext, client: TLSContext) {
  let listener = try? Listener(loop: loop, address: .loopback(port: 0)) { connection in
    TLSConnection.accept(over: connection, context: server, timeout: .seconds(5)) { (try? $0.get())?.close() }
  }
  defer { listener?.close() }
  let port = listener?.localAddress.port ?? 0
  Dialer(loop: loop).connect(host: "127.0.0.1", port: port, timeout: .seconds(5)) { dialled in
    guard let connection = try? dialled.get() else {
      Issue.record("could not connect")
      return loop.stop()
    }
    TLSConnection.connect(over: connection, context: client, serverName: "localhost", timeout: .seconds(5)) { outcome in
      #expect(throws: Never.self) { try outcome.get() }
      (try? outcome.get())?.close()
      loop.stop()
    }
  }
  loop.run()
}
