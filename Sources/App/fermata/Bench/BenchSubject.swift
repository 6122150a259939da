import Harness
import Loop
import Processes
import Sockets
import Time

/// What stands between the backend and the clients.
enum BenchSubject: String, CaseIterable {
  case direct
  case nginx
  case haproxy
  case legacy
  case graceful

  /// As the table calls it.
  var title: String {
    switch self {
    case .legacy: "fermata legacy"
    case .graceful: "fermata graceful"
    default: rawValue
    }
  }

  /// What a client sends beyond the plain request.
  var requestFields: [Script.Field] {
    self == .graceful ? [Script.Field("Prefer", "stream-end")] : []
  }

  /// The mode that each response must name.
  var expectedMode: String? {
    self == .legacy || self == .graceful ? rawValue : nil
  }
}

/// A server that is running for one measurement. `process` is `nil` when clients speak to the backend itself.
struct BenchServer {
  let subject: BenchSubject
  let address: SocketAddress
  let process: ChildProcess?
  let folder: TemporaryDirectory

  /// Starts `subject` in front of `backend` with settings that suit event streams, one worker each.
  static func start(_ subject: BenchSubject, backend: SocketAddress) throws -> BenchServer {
    let folder = try TemporaryDirectory(prefix: "fermata-bench")
    do {
      let address = try freeAddress()
      let command = try command(for: subject, backend: backend, address: address, folder: folder)
      let process = try command.map { try ChildProcess($0, errorFile: folder.path + "/errors.txt") }
      let server = BenchServer(
        subject: subject, address: process == nil ? backend : address, process: process, folder: folder)
      try server.waitUntilReady()
      return server
    } catch {
      folder.remove()
      throw error
    }
  }

  /// - Throws: when the server had crashed, or crashes now.
  func stop() throws {
    defer { folder.remove() }
    guard let process, case .signal(let number)? = process.stop(), number != 9, number != 15 else { return }
    throw BenchError("\(subject.title) crashed with signal \(number): \((try? errors()) ?? "")")
  }

  private static func command(
    for subject: BenchSubject, backend: SocketAddress, address: SocketAddress, folder: TemporaryDirectory
  ) throws -> [String]? {
    switch subject {
    case .direct: return nil
    case .nginx:
      let file = try folder.write("nginx.conf", nginx(backend: backend, address: address, folder: folder.path))
      return ["nginx", "-p", folder.path, "-c", file, "-e", folder.path + "/errors.txt"]
    case .haproxy:
      return [
        "haproxy", "-db", "-q", "-f", try folder.write("haproxy.cfg", haproxy(backend: backend, address: address)),
      ]
    case .legacy, .graceful:
      let flags = try folder.write("flags.json", flags(variant: subject.rawValue))
      return [
        BenchRun.program, "serve", "--workers", "1", "--upstream", "http://\(backend)", "--listen", "\(address)",
        "--admin", "\(try freeAddress())", "--flags", flags,
      ]
    }
  }

  private func waitUntilReady() throws {
    let deadline = SystemClock.now + .seconds(5)
    while true {
      let result = try Self.fetch(ClientRequest("GET", "/script?events=1&burst=1&size=120"), from: address)
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
    let reader = try ChildProcess(["tail", "-n", "3", folder.path + "/errors.txt"])
    var lines: [String] = []
    while let line = reader.readLine(timeout: .seconds(1)) { lines.append(line) }
    return lines.joined(separator: " | ")
  }

  /// An address nobody listens at just now.
  private static func freeAddress() throws -> SocketAddress {
    let listener = try Listener(loop: try EventLoop(), address: .loopback(port: 0)) { _ in }
    defer { listener.close() }
    return listener.localAddress
  }

  private static func fetch(_ request: ClientRequest, from address: SocketAddress) throws -> ClientResult {
    let loop = try EventLoop()
    var result = ClientResult()
    var behaviour = ClientBehaviour()
    behaviour.timeout = .seconds(2)
    let client = StreamClient(loop: loop, address: address, request: request, behaviour: behaviour) { got in
      result = got
      loop.stop()
    }
    client.start()
    loop.run()
    return result
  }
}

// MARK: Settings

extension BenchServer {
  private static func nginx(backend: SocketAddress, address: SocketAddress, folder: String) -> String {
    """
    daemon off;
    master_process off;
    worker_rlimit_nofile 20000;
    pid \(folder)/nginx.pid;
    error_log \(folder)/errors.txt crit;
    events { worker_connections 19000; }
    http {
      access_log off;
      client_body_temp_path \(folder)/body;
      proxy_temp_path \(folder)/proxy;
      fastcgi_temp_path \(folder)/fastcgi;
      uwsgi_temp_path \(folder)/uwsgi;
      scgi_temp_path \(folder)/scgi;
      tcp_nodelay on;
      keepalive_requests 1000000;
      upstream backend { server \(backend); keepalive 512; keepalive_requests 1000000; }
      server {
        listen \(address) backlog=4096;
        location / {
          proxy_pass http://backend;
          proxy_http_version 1.1;
          proxy_set_header Connection "";
          proxy_buffering off;
          proxy_read_timeout 1h;
          proxy_send_timeout 1h;
        }
      }
    }

    """
  }

  private static func haproxy(backend: SocketAddress, address: SocketAddress) -> String {
    """
    global
      nbthread 1
      maxconn 9500
    defaults
      mode http
      option http-no-delay
      option abortonclose
      http-reuse always
      timeout connect 5s
      timeout client 1h
      timeout server 1h
      timeout http-keep-alive 75s
    frontend clients
      bind \(address) backlog 4096
      default_backend streams
    backend streams
      server one \(backend) pool-max-conn 512

    """
  }

  private static func flags(variant: String) -> String {
    """
    {
      "$schema": "https://flagd.dev/schema/v0/flags.json",
      "flags": {
        "stream-closing": {
          "state": "ENABLED",
          "variants": { "legacy": "legacy", "shield": "shield", "graceful": "graceful" },
          "defaultVariant": "\(variant)"
        }
      }
    }

    """
  }
}

/// Why a run could not be made.
struct BenchError: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) {
    self.description = description
  }
}
