import Glibc
import Harness
import JSON
import Loop
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// What becomes of log lines.
  @Suite struct Log {
    @Test func `lines that are lost are counted and told, with one number`() async throws {
      let directory = try ScratchDirectory()
      #expect(mkfifo(directory["log"], 0o600) == 0)
      // Opened for both, so that neither side waits for the other; and not read.
      let pipe = open(directory["log"], O_RDWR | O_NONBLOCK)
      defer { close(pipe) }
      let backend = try ScriptedBackend.start { _ in Script([.head(), .event(nil, "1"), .end]) }
      defer { backend.stop() }
      let clients = try ClientLoop.start()
      defer { clients.stop() }
      let target = try Self.freeAddresses()
      let (listen, admin) = ("\(target.0)", "\(target.1)")
      let gateway = try ChildProcess(
        [
          Program.path, "serve", "--upstream", backend.url, "--listen", listen, "--admin", admin, "--workers", "1",
        ], environment: ["LLVM_PROFILE_FILE": "/dev/null", "FERMATA_DRAIN": "1s"], errorFile: directory["log"])
      // A long path makes long lines: 4 MiB are full after some thousand streams.
      let path = "/" + String(repeating: "x", count: 900)
      func lost() async -> Int {
        let answer = await clients.fetch(ClientRequest("GET", "/metrics"), from: target.1)
        return Int((try? MetricsText(parsing: answer.text))?.value("fermata_log_lines_dropped_total") ?? 0)
      }
      #expect(await eventually { await clients.fetch(ClientRequest("GET", "/readyz"), from: target.1).status == 200 })
      for _ in 0..<60 where await lost() == 0 {
        await withTaskGroup { group in
          for _ in 0..<100 {
            group.addTask {
              _ = await clients.fetch(ClientRequest("GET", path, fields: [.acceptsEvents]), from: target.0)
            }
          }
        }
      }
      let count = await lost()
      #expect(count > 0)
      var text: [UInt8] = []
      var told: Int?
      let isTold = await eventually(within: .seconds(10)) {
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while case let size = read(pipe, &piece, piece.count), size > 0 { text += piece[..<size] }
        let lines = String(decoding: text, as: UTF8.self).split(separator: "\n")
        told =
          lines.lazy.filter { $0.contains("log_lines_lost") }
          .compactMap { (try? JSONValue(parsing: String($0)))?["lines"]?.integer }.first
        return told != nil
      }
      #expect(isTold)
      #expect(told == (await lost()), "the line and the counter say the same")
      gateway.signal(15)
      #expect(gateway.wait(timeout: .seconds(10)) == .code(0))
    }

    /// Two that nobody has: the log, which would tell them, is not read.
    private static func freeAddresses() throws -> (SocketAddress, SocketAddress) {
      let (one, two) = try (RawListener(), RawListener())
      return (one.address, two.address)
    }

    @Test func `for the journal each line begins with its priority`() async throws {
      let directory = try ScratchDirectory()
      let arguments = [
        "serve", "--upstream", "http://127.0.0.1:9", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
      ]
      let gateway = try ChildProcess(
        [Program.path] + arguments, environment: ["FERMATA_LOG_FORMAT": "journald", "LLVM_PROFILE_FILE": "/dev/null"],
        errorFile: directory["log"])
      func lines() -> [Substring] { (directory.text("log") ?? "").split(separator: "\n") }
      #expect(await eventually { lines().contains { $0.hasPrefix("<6>{") && $0.contains("\"started\"") } })
      let address = lines().compactMap { try? JSONValue(parsing: String($0.dropFirst(3))) }
        .compactMap { $0["listen"]?.string }.first
      let target = try #require(address.flatMap(SocketAddress.init(parsing:)))
      let clients = try ClientLoop.start()
      defer { clients.stop() }
      _ = await clients.fetch(ClientRequest("GET", "/"), from: target)
      #expect(await eventually { lines().contains { $0.hasPrefix("<4>{") && $0.contains("\"attempt_failed\"") } })
      #expect(lines().allSatisfy { $0.hasPrefix("<") && (try? JSONValue(parsing: String($0.dropFirst(3)))) != nil })
      gateway.signal(15)
      #expect(gateway.wait(timeout: .seconds(10)) == .code(0))
    }

    @Test func `standard error is known for the journal by its inode`() async throws {
      let directory = try ScratchDirectory()
      // The shell tells the program the device and inode of its own standard error, as systemd does.
      let script = """
        export JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2)
        exec "$0" serve --upstream http://127.0.0.1:9 --listen 127.0.0.1:0 --admin 127.0.0.1:0
        """
      let gateway = try ChildProcess(
        ["sh", "-c", script, Program.path], environment: ["LLVM_PROFILE_FILE": "/dev/null"],
        errorFile: directory["log"])
      #expect(await eventually { (directory.text("log") ?? "").hasPrefix("<6>{\"time\"") })
      gateway.signal(15)
      #expect(gateway.wait(timeout: .seconds(10)) == .code(0))
    }
  }
}
