import Files
import Glibc
import JSON
import Loop
import Matrix
import Processes
import Streams
import Synchronization
import Time

/// A gateway that serves every behaviour in every mode, each at a path of its own, with all that it logs.
final class MatrixGateway: Sendable {
  let address: SocketAddress
  let adminAddress: SocketAddress
  private let child: Mutex<ChildProcess>
  private let log: MatrixLog

  private let flagFile: String

  private init(
    address: SocketAddress, admin: SocketAddress, child: sending ChildProcess, log: MatrixLog, flagFile: String
  ) {
    (self.address, adminAddress, self.log, self.flagFile) = (address, admin, log, flagFile)
    self.child = Mutex(child)
  }

  /// Starts this program as `fermata serve` and waits until it listens.
  ///
  /// - Parameter folder: for its files and its log, of its own.
  static func start(backend: String, in folder: TemporaryDirectory) async throws -> MatrixGateway {
    let configuration = try folder.write("fermata.json5", MatrixSettings.configuration(backend: backend))
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
      if let (address, admin) = log.started() {
        return MatrixGateway(address: address, admin: admin, child: child, log: log, flagFile: flags)
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

  func stop() { child.withLock { _ = $0.stop(grace: .seconds(10)) } }
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
    var start: (listen: SocketAddress, admin: SocketAddress)?
  }

  private let file: String
  private let state = Mutex(State())
  /// Lines kept for messages.
  private static let kept = 20

  init(file: String) { self.file = file }

  /// Where the gateway listens, once it does.
  func started() -> (SocketAddress, SocketAddress)? {
    state.withLock { state in
      read(&state)
      return state.start.map { ($0.listen, $0.admin) }
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
      if let listen = value["listen"]?.string.flatMap(SocketAddress.init(parsing:)),
        let admin = value["admin"]?.string.flatMap(SocketAddress.init(parsing:))
      {
        state.start = (listen, admin)
      }
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
    default: break
    }
  }
}
