internal import Bytes
package import Loop
internal import Synchronization
package import TLS

/// An HTTP/1.1 server on a thread of its own that answers each request with a script, faults included, and records
/// what it was asked.
///
/// ```
/// let backend = try ScriptedBackend.start { request in .events(["one", "two"]) }
/// ... backend.url ... backend.requests ...
/// backend.stop()
/// ```
package final class ScriptedBackend: Sendable {
  /// Where it listens; the port is the one that was picked.
  package let address: SocketAddress
  private let isSecure: Bool
  private let log: BackendLog
  private let thread: LoopThread
  private let server: LoopBound<BackendServer>

  private init(
    address: SocketAddress, isSecure: Bool, log: BackendLog, thread: LoopThread, server: LoopBound<BackendServer>
  ) {
    self.address = address
    self.isSecure = isSecure
    self.log = log
    self.thread = thread
    self.server = server
  }

  /// - Parameters:
  ///   - address: where to listen; a free port of loopback by default.
  ///   - tls: makes it one of https.
  ///   - choose: the script for a request, called on the backend's thread when the request's body is complete.
  package static func start(
    address: SocketAddress = .loopback(port: 0), tls: TLSServerSettings? = nil,
    choose: @escaping @Sendable (RecordedRequest) -> Script = ScriptedBackend.byQuery
  ) throws -> ScriptedBackend {
    let log = BackendLog()
    let started = Mutex<Result<(SocketAddress, LoopBound<BackendServer>), any Error>?>(nil)
    let thread = try LoopThread.start(name: "backend") { loop in
      let result = Result { () throws -> (SocketAddress, LoopBound<BackendServer>) in
        let server = try BackendServer(loop: loop, log: log, tls: tls, choose: choose)
        return (try server.listen(at: address), LoopBound(server, loop: loop))
      }
      started.withLock { $0 = result }
    }
    while true {
      if let result = started.withLock({ $0 }) {
        let (address, server) = try result.get()
        return ScriptedBackend(address: address, isSecure: tls != nil, log: log, thread: thread, server: server)
      }
      Pause.briefly()
    }
  }

  /// The script that the request's query describes (`ScriptQuery`); `/echo` answers with the request's body and
  /// `/inspect` with its head.
  package static let byQuery: @Sendable (RecordedRequest) -> Script = { request in
    switch request.path {
    case "/echo": .plain(type: request.head.value("Content-Type") ?? "application/octet-stream", request.body)
    case "/inspect": .plain(Array(request.head.description.utf8))
    default: ScriptQuery(request.query).script
    }
  }

  package var port: UInt16 { address.port }
  package var url: String { "\(isSecure ? "https" : "http")://\(address)" }

  /// All requests so far, in the order of arrival.
  package var requests: [RecordedRequest] { log.requests }
  package var openRequests: Int { log.requests.count { $0.isOpen } }
  /// Connections accepted so far.
  package var connectionCount: Int { log.connectionCount }

  /// Forgets finished requests' bodies and heads; numbers go on.
  package func forgetRequests() { log.forget() }

  /// Stops listening; open streams go on. For tests of unreachable upstreams.
  package func stopListening() {
    let server = server
    thread.mailbox.post { server.value.stopListening() }
  }

  /// Closes everything and ends the thread.
  package func stop() {
    let server = server
    thread.mailbox.post {
      server.value.stop()
    }
    thread.join()
  }
}
