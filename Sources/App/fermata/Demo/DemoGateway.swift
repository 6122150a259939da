import Configuration
import Files
import Gateway
import Glibc
import Loop
import Operations
import TLS

/// The gateway as `fermata serve` runs it, on a thread of this process.
final class DemoGateway: Sendable {
  /// Where clients connect.
  let address: SocketAddress
  let adminAddress: SocketAddress
  private let thread: LoopThread
  private let gateway: LoopBound<Reference>
  private let log: Int32

  /// Leaves the gateway to its own thread, where it has to end.
  private final class Reference {
    weak var gateway: Gateway?
  }

  private init(started: Started, thread: LoopThread, log: Int32) {
    address = started.address
    adminAddress = started.adminAddress
    gateway = started.gateway
    self.thread = thread
    self.log = log
  }

  private struct Started: Sendable {
    let address: SocketAddress
    let adminAddress: SocketAddress
    let gateway: LoopBound<Reference>
  }

  /// - Parameter identity: what clients are shown over TLS; `nil`: they come without it.
  static func start(
    configFile: String, flagFile: String, logFile: String, identity: TLSIdentity?
  ) throws -> DemoGateway {
    // Not the caller's variables: the demo shows the same everywhere.
    var sources = SettingSources(environment: [:])
    sources.file = configFile
    var settings = [
      "listen": "127.0.0.1:0", "admin.listen": "127.0.0.1:0", "flags.file": flagFile, "workers": "1", "drain": "1s",
    ]
    if let identity { (settings["tls.cert"], settings["tls.key"]) = (identity.certificate, identity.key) }
    for (path, value) in settings { sources.override(path, with: value, from: "demo") }
    let configuration = try sources.load().get()
    let log = unsafe open(logFile, O_WRONLY | O_APPEND | O_CLOEXEC)
    guard log >= 0 else { throw DemoError("the log \(logFile) can't be opened") }
    let answer = Rendezvous<Result<Started, DemoError>>()
    let thread = try LoopThread.start(name: "gateway") { [sources] loop in
      let logWriter = LogWriter(descriptor: log)
      do {
        let gateway = try Gateway(
          configuration: configuration, build: Program.build, logWriter: logWriter, loop: loop,
          reload: { sources.load() })
        let operators = ControlRoom(of: gateway)
        gateway.operators = operators
        try gateway.start()
        guard let address = gateway.address, let adminAddress = operators.address else {
          throw DemoError("the gateway has no address")
        }
        let reference = Reference()
        reference.gateway = gateway
        answer.put(
          .success(Started(address: address, adminAddress: adminAddress, gateway: LoopBound(reference, loop: loop))))
        loop.run()
        withExtendedLifetime(gateway) {}
      } catch {
        answer.put(.failure(DemoError("\(error)")))
        loop.stop()
      }
      logWriter.close()
    }
    return DemoGateway(started: try answer.take().get(), thread: thread, log: log)
  }

  /// Waits until the gateway has ended by itself: it watches the process's signals.
  func waitForEnd() { thread.join() }

  func stop() {
    thread.mailbox.post { [gateway] in gateway.value.gateway?.stop() }
    thread.join()
    close(log)
  }
}
