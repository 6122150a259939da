import Glibc
import Harness
import JSON
import Loop
import Processes
import RunningGateway
import TLS
import Testing
import Time

extension EndToEnd {
  /// Clients that come over a socket in the file system.
  @Suite struct UnixListeners {
    private static let asks = ClientRequest(
      "GET", "/script?events=20&burst=1&complete=complete", fields: [.acceptsEvents, .prefersStreamEnd])

    /// A gateway that listens at `path`, and at `path` and `s` over https, beside its port.
    private static func setup(_ path: String, workers: Int = 2, more: String = "") throws -> World.Setup {
      let identity = try HTTPS.localhost.get()
      let text = """
        {
          upstream: "UPSTREAM", workers: \(workers),
          listeners: [
            { address: "unix:\(path)", socketMode: "0600" },
            { address: "unix:\(path)s", tls: { cert: "\(identity.certificate)", key: "\(identity.key)" } },
          ],
          \(more)
        }
        """
      return World.Setup(variant: "graceful", configuration: text)
    }

    private static func mode(of path: String) -> UInt32? {
      var status = stat()
      return lstat(path, &status) == 0 ? status.st_mode & 0o777 : nil
    }

    @Test func `curl reads a stream over a socket`() async throws {
      let folder = try ScratchDirectory()
      let path = folder["front.sock"]
      try await World.with(Self.setup(path)) { world in
        for (socket, options) in [
          (path, ["http://localhost/script?events=30"]),
          (path + "s", ["--cacert", try HTTPS.certificates.get().roots, "https://localhost/script?events=30"]),
        ] {
          let tool = try ChildProcess(["curl", "-sSN", "--unix-socket", socket] + options)
          var events = 0
          while let line = tool.readLine(timeout: .seconds(10)) { if line.hasPrefix("data:") { events += 1 } }
          #expect(tool.wait(timeout: .seconds(10)) == .code(0) && events >= 30)
        }
      }
    }
  }
}
