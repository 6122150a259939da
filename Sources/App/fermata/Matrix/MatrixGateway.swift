import Files
import Glibc
import JSON
import Loop
import Matrix
import Processes
import Streams
import Synchronization
import TLS
import Time

/// A gateway that serves every behaviour in every mode, each at a path of its own, with all that it logs.
final class MatrixGateway: Sendable {
  /// Where it serves clients without TLS.
  let address: SocketAddress
  /// Where it serves those over TLS, by their transport.
  let secureAddresses: [String: SocketAddress]
  private let child: Mutex<ChildProcess>
  private let log: MatrixLog

  private let flagFile: String
  private let store: MatrixStore?

  private init(
    addresses: [SocketAddress], child: sending ChildProcess, log: MatrixLog, flagFile: String, store: MatrixStore?
  ) {
    address = addresses[0]
    let secure = MatrixTransport.all.filter(\.wire.isSecure).map(\.id)
    secureAddresses = Dictionary(uniqueKeysWithValues: zip(secure, addresses.dropFirst()))
    (self.log, self.flagFile, self.store) = (log, flagFile, store)
    self.child = Mutex(child)
  }

  /// Starts this program as `fermata serve` and waits until it listens.
  ///
  /// - Parameters:
  ///   - folder: for its files and its log, of its own.
  ///   - identity: with which it also serves clients over TLS.
  ///   - store: where it keeps runs; ends with it.
  static func start(
    backend: String, in folder: TemporaryDirectory, identity: TLSIdentity? = nil, store: MatrixStore? = nil
  ) async throws -> MatrixGateway {
    let settings = MatrixSettings.configuration(backend: backend, identity: identity, store: store?.url)
    let configuration = try folder.write("fermata.json5", settings)
    let flags = try folder.write("flags.json", MatrixSettings.flags())
    let file = try folder.write("gateway.log", "")
    let child = try ChildProcess(
      [
        BenchProgram.path, "serve", "--config", configuration, "--flags", flags, "--listen", "127.0.0.1:0", "--admin",
        "127.0.0.1:0",
      ], errorFile: file)
    let log = MatrixLog(file: file)
    let deadline = SystemClock.now + .seconds(20)
    while SystemClock.now < deadline {
      if let addresses = log.started() {
        return MatrixGateway(addresses: addresses, child: child, log: log, flagFile: flags, store: store)
      }
      if let exit = child.wait(timeout: .zero) {
        throw MatrixFailure("the gateway ended with \(exit): \(log.text)")
      }
      try await Task.sleep(for: .milliseconds(10))
    }
    child.stop()
    throw MatrixFailure("the gateway did not start in 20 s: \(log.text)")
  }

  /// The streams of the cell that has this mark, in the order in which they were opened.
  func streams(of mark: String) -> [GatewayWitness.Stream] { log.streams(of: mark) }

  /// Asks it to end, as an operator does.
  func drain() { child.withLock { $0.signal(SIGTERM) } }

  /// Kills the flag.
  func kill() throws { try AtomicFile.replace(flagFile, with: Array(MatrixSettings.flags(isKilled: true).utf8)) }

  /// Takes its store of runs away.
  func loseStore() { store?.kill() }

  func stop() {
    child.withLock { _ = $0.stop(grace: .seconds(10)) }
    store?.kill()
  }
}

/// A gateway's log, read as it grows.
final class MatrixLog: Sendable {
  private struct State {
    var lines: [String] = []
    var rest: [UInt8] = []
    var offset = 0
    var places: [String: [Int]] = [:]
    var streams: [GatewayWitness.Stream] = []
    /// The streams of an id that are open: each reader of a run has one.
    var open: [String: [Int]] = [:]
    /// Of each stream's id.
    var marks: [String: String] = [:]
    /// Where it listens for clients, in the order of its configuration.
    var addresses: [SocketAddress]?
  }

  private let file: String
  private let state = Mutex(State())
  /// Lines kept for messages.
  private static let kept = 20

  init(file: String) { self.file = file }

  /// Where the gateway listens, once it does.
  func started() -> [SocketAddress]? {
    state.withLock { state in
      read(&state)
      return state.addresses
    }
  }

  func streams(of mark: String) -> [GatewayWitness.Stream] {
    state.withLock { state in
      read(&state)
      return state.places[mark, default: []].map { state.streams[$0] }
    }
  }

  /// The last lines.
  var text: String { state.withLock { $0.lines.joined(separator: "\n") } }

  private func read(_ state: inout State) {
    let descriptor = unsafe open(file, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    defer { close(descriptor) }
    while true {
      let offset = state.offset
      let piece = unsafe [UInt8](unsafeUninitializedCapacity: 65_536) { buffer, count in
        count = unsafe max(0, pread(descriptor, buffer.baseAddress, buffer.count, off_t(offset)))
      }
      guard !piece.isEmpty else { break }
      state.offset += piece.count
      state.rest += piece
    }
    let lines = state.rest.split(separator: 0x0A, omittingEmptySubsequences: false)
    for line in lines.dropLast() { take(String(decoding: line, as: UTF8.self), &state) }
    state.rest = Array(lines.last ?? [])
  }

  private func take(_ line: String, _ state: inout State) {
    state.lines = state.lines.suffix(Self.kept - 1) + [line]
    guard let value = try? JSONValue(parsing: line), let event = value["event"]?.string else { return }
    switch event {
    case "started":
      let others = value["listeners"]?.string.map { $0.split(separator: ", ").map(String.init) } ?? []
      let texts = [value["listen"]?.string ?? ""] + others
      let addresses = texts.compactMap(SocketAddress.init(parsing:))
      if addresses.count == texts.count { state.addresses = addresses }
    case "stream_opened":
      // A run that is read again has the same stream's id and another path.
      guard let id = value["streamId"]?.string,
        let mark = value["path"]?.string.flatMap(MatrixPlays.mark) ?? state.marks[id]
      else { return }
      state.marks[id] = mark
      state.open[id, default: []].append(state.streams.count)
      state.places[mark, default: []].append(state.streams.count)
      state.streams.append(.init(id: id, mode: value["mode"]?.string ?? ""))
    case "request_done":
      // Requests that are no streams have no such id.
      guard let id = value["streamId"]?.string, let number = state.open[id]?.first else { return }
      state.open[id]?.removeFirst()
      state.streams[number].outcome = value["outcome"]?.string
      state.streams[number].reason = value["reason"]?.string ?? ""
      state.streams[number].events = value["events"]?.integer ?? 0
      state.streams[number].wire = .init(version: value["tls"]?.string, applicationProtocol: value["alpn"]?.string)
    default: break
    }
  }
}
