import Glibc
import Harness
import Loop
import Processes
import Sockets
import TLS
import Time

/// What stands between the backend and the clients.
enum BenchSubject: String, CaseIterable {
  case direct
  /// A relay that knows nothing of what it carries: epoll, recv and send.
  case floor
  case nginx
  case haproxy
  case legacy
  case graceful
  /// Graceful, and each run kept in memory.
  case resumable
  /// Graceful, and each run kept in a Redis beside it.
  case resumableRedis = "resumable-redis"

  /// As the table calls it.
  var title: String {
    switch self {
    case .legacy: "fermata legacy"
    case .graceful: "fermata graceful"
    case .resumable: "fermata resumable"
    case .resumableRedis: "fermata redis"
    default: rawValue
    }
  }

  /// Whether it is Fermata, in whichever build.
  var isFermata: Bool { expectedMode != nil }

  /// What a client sends beyond the plain request.
  var requestFields: [Script.Field] {
    expectedMode == BenchSubject.graceful.rawValue ? [Script.Field("Prefer", "stream-end")] : []
  }

  /// The mode that each response must name.
  var expectedMode: String? {
    switch self {
    case .legacy, .graceful: rawValue
    case .resumable, .resumableRedis: BenchSubject.graceful.rawValue
    default: nil
    }
  }

  /// Where its runs are kept, if they are.
  enum Keeping { case memory, redis }

  var keeping: Keeping? {
    switch self {
    case .resumable: .memory
    case .resumableRedis: .redis
    default: nil
    }
  }
}

/// What stands behind them.
struct BenchBackend {
  var address: SocketAddress
  /// The certificates by which it is trusted, if it speaks https.
  var roots: String?

  var url: String { "\(roots == nil ? "http" : "https")://\(address)" }
}

/// A server that is running for one measurement. `process` is `nil` when clients speak to the backend itself.
struct BenchServer {
  let subject: BenchSubject
  let address: SocketAddress
  let process: ChildProcess?
  /// What it keeps runs in, if that is a server of its own.
  let store: BenchStore?
  let folder: TemporaryDirectory
  /// What clients speak.
  private let transport: ClientTransport

  /// Starts `subject` in front of `backend` with settings that suit event streams, one worker each.
  ///
  /// - Parameters:
  ///   - program: the build of Fermata, where it is that.
  ///   - front: what it shows clients; `nil` for HTTP/1.1 without TLS.
  ///   - runMemory: for runs that are kept.
  static func start(
    _ subject: BenchSubject, program: String, backend: BenchBackend, front: BenchIdentity?, runMemory: String
  ) throws -> BenchServer {
    let folder = try TemporaryDirectory(prefix: "fermata-bench")
    do {
      // What is free is free no longer than until the next is looked for, so the store has its port first.
      let store = try subject.keeping == .redis ? BenchStore.start(at: freeAddress(), folder: folder.path) : nil
      let address = try freeAddress()
      let command = try command(
        for: subject, program: program, backend: backend, front: front, runMemory: runMemory, store: store,
        address: address, folder: folder)
      let process = try command.map { try ChildProcess($0, errorFile: folder.path + "/errors.txt") }
      let server = try BenchServer(
        subject: subject, address: process == nil ? backend.address : address, process: process, store: store,
        folder: folder, transport: front?.carrier.transport(roots: front?.roots) ?? ClientTransport())
      try server.waitUntilReady()
      return server
    } catch {
      folder.remove()
      throw BenchError(error)
    }
  }

  /// - Throws: when the server had crashed, or crashes now, or has done without its store.
  func stop() throws {
    defer {
      store?.process.stop()
      folder.remove()
    }
    if store != nil, !(try lines(of: ["grep", "-m", "1", "run_store_lost", folder.path + "/errors.txt"]).isEmpty) {
      process?.stop()
      throw BenchError("\(subject.title) had lost its store: what was measured is something else")
    }
    guard let process, case .signal(let number)? = process.stop(), number != 9, number != 15 else { return }
    throw BenchError("\(subject.title) crashed with signal \(number): \((try? errors()) ?? "")")
  }

  private static func command(
    for subject: BenchSubject, program: String, backend: BenchBackend, front: BenchIdentity?, runMemory: String,
    store: BenchStore?, address: SocketAddress, folder: TemporaryDirectory
  ) throws -> [String]? {
    switch subject {
    case .direct: return nil
    case .floor:
      return [BenchProgram.path, "floor", "--listen", "\(address.port)", "--target", "\(backend.address.port)"]
    case .nginx:
      let file = try folder.write(
        "nginx.conf", BenchServerSettings.nginx(backend: backend, front: front, address: address, folder: folder.path))
      return ["nginx", "-p", folder.path, "-c", file, "-e", folder.path + "/errors.txt"]
    case .haproxy:
      return [
        "haproxy", "-db", "-q", "-f",
        try folder.write("haproxy.cfg", BenchServerSettings.haproxy(backend: backend, front: front, address: address)),
      ]
    case .legacy, .graceful, .resumable, .resumableRedis:
      let variant = subject.expectedMode ?? ""
      let flags = try folder.write("flags.json", BenchServerSettings.flags(variant: variant))
      let settings = try folder.write(
        "fermata.json5",
        BenchServerSettings.fermata(
          backend: backend, front: front, keepsRuns: subject.keeping != nil, memory: runMemory, store: store?.url))
      return [
        program, "serve", "--workers", "1", "--config", settings, "--listen", "\(address)", "--admin",
        "\(SocketAddress.loopback(port: 0))", "--flags", flags,
      ]
    }
  }

  private func waitUntilReady() throws {
    let deadline = SystemClock.now + .seconds(5)
    while true {
      let result = try fetch(ClientRequest("GET", "/script?events=1&burst=1&size=120"))
      if result.end == .clean, result.status == 200 { return }
      if process?.wait(timeout: .zero) != nil || SystemClock.now > deadline {
        let reason = (try? errors()) ?? ""
        process?.stop()
        throw BenchError("\(process?.name ?? "backend") does not serve: \(result.status) \(result.end) \(reason)")
      }
      SystemClock.sleep(.milliseconds(20))
    }
  }

  private func errors() throws -> String {
    try lines(of: ["tail", "-n", "3", folder.path + "/errors.txt"]).joined(separator: " | ")
  }

  private func lines(of command: [String]) throws -> [String] {
    let reader = try ChildProcess(command)
    var lines: [String] = []
    while let line = reader.readLine(timeout: .seconds(1)) { lines.append(line) }
    return lines
  }

  /// An address nobody listens at just now.
  private static func freeAddress() throws -> SocketAddress {
    let listener = try Listener(loop: try EventLoop(), address: .loopback(port: 0)) { _ in }
    defer { listener.close() }
    return listener.localAddress
  }

  private func fetch(_ request: ClientRequest) throws -> ClientResult {
    let loop = try EventLoop()
    var result = ClientResult()
    var behaviour = ClientBehaviour()
    behaviour.timeout = .seconds(2)
    (behaviour.tls, behaviour.speaksHTTP2) = (transport.tls, transport.speaksHTTP2)
    let client = StreamClient(loop: loop, address: address, request: request, behaviour: behaviour) { got in
      result = got
      loop.stop()
    }
    client.start()
    loop.run()
    return result
  }
}
