import Bytes
import Glibc
import Harness
import Loop
import Sockets
import TLS
import Testing
import Time

/// A loop for one test, which fails instead of running for ever.
final class TestLoop {
  let loop: EventLoop

  init() throws { loop = try EventLoop() }

  /// Runs until `condition` holds, asked every two milliseconds.
  func run(
    until condition: @escaping () -> Bool, limit: Nanoseconds = .seconds(20),
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let end = loop.readClock() + limit
    var poll: Loop.Timer?
    poll = Loop.Timer(loop: loop) { [loop] in
      if condition() || loop.readClock() > end { loop.stop() } else { poll?.schedule(after: .milliseconds(2)) }
    }
    poll?.schedule(after: .zero)
    loop.run()
    poll?.cancel()
    poll = nil
    #expect(condition(), "the loop did not come to its end in time", sourceLocation: sourceLocation)
  }

  func run(for time: Nanoseconds) {
    let timer = Loop.Timer(loop: loop) { [loop] in loop.stop() }
    timer.schedule(after: time)
    loop.run()
    timer.cancel()
  }
}

/// Writes down what happens on a connection.
final class Recorder<Peer: Connection> {
  let connection: Peer
  var received: [UInt8] = []
  var receivedCount = 0
  var reads = 0
  var keepsBytes = true
  var drained: [Int] = []
  var ends: [ConnectionEnd] = []
  var onReceive: ((Recorder, InputBuffer) -> Void)?

  init(_ connection: Peer, reads: Bool = true) {
    self.connection = connection
    // A connection retains its handler, so that the recorder itself would never go.
    connection.handler = Ear(self)
    if reads { connection.startReading() }
  }

  var text: String { String(decoding: received, as: UTF8.self) }
  var hasFailed: Bool { ends.contains { $0 != .finished } }

  func write(_ text: String) {
    let bytes = Array(text.utf8)
    connection.write(bytes.span)
  }

  private final class Ear: ConnectionHandler {
    weak var recorder: Recorder?

    init(_ recorder: Recorder) { self.recorder = recorder }

    func connectionReceived(_ input: InputBuffer) {
      guard let recorder else { return }
      recorder.reads += 1
      recorder.receivedCount += input.count
      if recorder.keepsBytes { recorder.received += [UInt8](copying: input.bytes) }
      recorder.onReceive?(recorder, input)
    }

    func connectionDrained() {
      guard let recorder else { return }
      recorder.drained.append(recorder.connection.queuedBytes)
    }

    func connectionEnded(_ end: ConnectionEnd) { recorder?.ends.append(end) }
  }
}

/// The certificates that the tests use, made once.
enum Certificates {
  static let shared = Result { try TestCertificates() }
  static let localhost = Result { try shared.get().identity() }
  static let expired = Result { try shared.get().identity("expired", days: -1) }
  static let elsewhere = Result { try shared.get().identity("elsewhere", for: "DNS:elsewhere.example") }
  static let wild = Result { try shared.get().identity("wild", for: "DNS:*.wild.example") }
  static let exact = Result { try shared.get().identity("exact", for: "DNS:a.wild.example") }
  static let client = Result { try shared.get().identity("client", for: "DNS:client.example") }
  static let otherAuthority = Result { try TestCertificates() }
}

/// A server's context with `identity`, by default the one for localhost.
func serverContext(
  _ identity: TLSIdentity? = nil, clientRoots: String? = nil, newest: TLSVersion = .version13
) throws -> TLSContext {
  var settings = TLSServerSettings(identity: try identity ?? Certificates.localhost.get())
  settings.clientRoots = clientRoots
  settings.newestVersion = newest
  return try TLSContext(server: settings)
}

/// A client's context that trusts the tests' authority.
func clientContext(_ change: (inout TLSClientSettings) throws -> Void = { _ in }) throws -> TLSContext {
  var settings = TLSClientSettings()
  settings.roots = try Certificates.shared.get().roots
  try change(&settings)
  return try TLSContext(client: settings)
}

typealias Outcome = Result<TLSConnection, TLSError>

/// A listener and what connects to it, plain.
struct PlainPair {
  let listener: Listener
  let server: TCPConnection
  let client: TCPConnection

  init(_ test: TestLoop, options: SocketOptions = SocketOptions()) throws {
    var accepted: TCPConnection?
    var dialled: TCPConnection?
    listener = try Listener(loop: test.loop, address: .loopback(port: 0), options: options) { accepted = $0 }
    Dialer(loop: test.loop).connect(
      host: "127.0.0.1", port: listener.localAddress.port, timeout: .seconds(5), options: options
    ) { dialled = try? $0.get() }
    test.run(until: { accepted != nil && dialled != nil })
    server = try #require(accepted)
    client = try #require(dialled)
  }
}

/// What a handshake of both sides came to.
func shakeHands(
  _ test: TestLoop, server: TLSContext, client: TLSContext, serverName: String = "localhost",
  options: SocketOptions = SocketOptions()
) throws -> (server: Outcome, client: Outcome) {
  let sockets = try PlainPair(test, options: options)
  var accepted: Outcome?
  var connected: Outcome?
  TLSConnection.accept(over: sockets.server, context: server, timeout: .seconds(5)) { accepted = $0 }
  TLSConnection.connect(over: sockets.client, context: client, serverName: serverName, timeout: .seconds(5)) {
    connected = $0
  }
  test.run(until: { accepted != nil && connected != nil })
  return (try #require(accepted), try #require(connected))
}

/// Two ends of one connection over TLS.
struct Pair {
  let server: Recorder<TLSConnection>
  let client: Recorder<TLSConnection>

  init(
    _ test: TestLoop, server: TLSContext? = nil, client: TLSContext? = nil, serverReads: Bool = true,
    clientReads: Bool = true, options: SocketOptions = SocketOptions()
  ) throws {
    let ends = try shakeHands(
      test, server: try server ?? serverContext(), client: try client ?? clientContext(), options: options)
    self.server = Recorder(try ends.server.get(), reads: serverReads)
    self.client = Recorder(try ends.client.get(), reads: clientReads)
  }
}

func fails(_ outcome: Outcome) -> TLSError? {
  switch outcome {
  case .success(let connection):
    connection.close()
    return nil
  case .failure(let error): return error
  }
}

/// What this thread has computed so far.
func threadCPUTime() -> Nanoseconds {
  var time = timespec()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return Nanoseconds(Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
}
