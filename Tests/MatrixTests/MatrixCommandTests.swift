import JSON
import Matrix
import Processes
import Testing
import Time

/// The verb, with clients that lie.
@Suite(.serialized) struct MatrixCommandTests {
  private static func liar(_ kind: String, over transport: String = "h1") -> [String] {
    ["--adapter", "liar=python3 \(MatrixRun.root)/Tests/MatrixTests/liar.py \(kind)", "--transport", transport]
  }

  @Test func `a client that drops the last event is named, with status 1`() throws {
    let run = try MatrixRun.run(Self.liar("drops") + ["--behaviour", "B01"])
    #expect(run.exit == .code(1), "\(run.text)")
    for mode in ["legacy", "shield", "graceful"] {
      #expect(run.text.contains("liar/\(mode)/h1/B01: FAIL instead of ok: 1 of 5 events are missing"), "\(run.text)")
    }
  }

  @Test func `a client that calls a cut complete is named, with status 1`() throws {
    let run = try MatrixRun.run(Self.liar("whole") + ["--behaviour", "B02", "--mode", "legacy,graceful"])
    #expect(run.exit == .code(1), "\(run.text)")
    for mode in ["legacy", "graceful"] {
      #expect(run.text.contains("liar/\(mode)/h1/B02: FAIL instead of ok: the answer ended upstream_truncated"))
    }
  }

  @Test func `a client that falls back to HTTP 1.1 without a word is named, with status 1`() throws {
    let run = try MatrixRun.run(Self.liar("falls", over: "h2,tls") + ["--behaviour", "B01", "--mode", "graceful"])
    #expect(run.exit == .code(1), "\(run.text)")
    let complaint = "the gateway was spoken to in http/1.1 over TLS instead of h2 over TLS"
    #expect(run.text.contains("liar/graceful/h2/B01: FAIL instead of ok: \(complaint)"), "\(run.text)")
    #expect(!run.text.contains("liar/graceful/tls/B01:"), "\(run.text)")
  }

  @Test func `a load goes over every transport, and the gateway logs what each of them speaks`() throws {
    let run = try MatrixRun.run(["--load", "60"])
    #expect(run.exit == .code(0) && run.text.contains("as promised"), "\(run.text)")
    #expect(run.text.contains("over 12 h1, 12 tls, 8 h2, 8 nginx, 8 haproxy"), "\(run.text)")
  }

  @Test func `a program that says that it has no such ability is n/a, which has to be expected`() throws {
    let run = try MatrixRun.run(Self.liar("silent") + ["--behaviour", "B01", "--mode", "legacy"])
    #expect(run.exit == .code(1) && run.text.contains("liar/legacy/h1/B01: n/a instead of ok"), "\(run.text)")
  }

  @Test func `a stale expectation is named, with status 1`() throws {
    let folder = try TemporaryDirectory(prefix: "fermata-matrix-test")
    defer { folder.remove() }
    let file = try folder.write(
      "rules.json5",
      "[{ clients: [\"gone\"], transports: [\"h1\"], behaviours: [\"B01\"], verdict: \"n/a\", reason: \"gone\" }]")
    let errors = folder.path + "/errors"
    let child = try ChildProcess(
      [
        "bash", "-c", "exec \"$@\" 2>&1", "-", MatrixRun.path, "matrix", "--clients", "\(MatrixRun.root)/Tests/Matrix",
        "--expectations", file, "--list",
      ], errorFile: errors)
    child.closeInput()
    let line = child.readLine(timeout: .seconds(10)) ?? ""
    #expect(line.contains("stale, there is no cell gone/legacy/h1/B01"), "\(line)")
    #expect(child.wait(timeout: .seconds(5)) == .code(1))
  }

  @Test func `an expectation that is not met any more is named, with status 1`() throws {
    let folder = try TemporaryDirectory(prefix: "fermata-matrix-test")
    defer { folder.remove() }
    let file = try folder.write(
      "rules.json5",
      "[{ clients: [\"curl\"], transports: [\"h1\"], behaviours: [\"B01\"], verdict: \"ok*\", reason: \"never\" }]")
    let run = try MatrixRun.run(["--expectations", file, "--repeat", "curl/legacy/h1/B01"])
    #expect(run.exit == .code(1) && run.text.contains("curl/legacy/h1/B01: ok instead of ok*"), "\(run.text)")
  }

  @Test func `a client that is not installed is missing, which only --strict fails`() throws {
    let arguments = [
      "--adapter", "none=/nonexistent/client", "--behaviour", "B01", "--mode", "legacy", "--transport", "h1",
    ]
    let lax = try MatrixRun.run(arguments)
    #expect(lax.exit == .code(0) && lax.text.contains("1 missing") && !lax.text.contains("1 ok"), "\(lax.text)")
    let strict = try MatrixRun.run(arguments + ["--strict"])
    #expect(strict.exit == .code(1) && strict.text.contains("none/legacy/h1/B01: missing"), "\(strict.text)")
  }

  @Test func `two reports differ in times only`() throws {
    let folder = try TemporaryDirectory(prefix: "fermata-matrix-test")
    defer { folder.remove() }
    var reports: [String] = []
    for number in 1...2 {
      let file = folder.path + "/\(number).json"
      let run = try MatrixRun.run(["--client", "curl,tail", "--transport", "h1", "--strict", "--json", file])
      #expect(run.exit == .code(0), "\(run.text)")
      reports.append(try Self.withoutTimes(file))
    }
    #expect(reports[0] == reports[1])
    let report = try JSONValue(parsing: reports[0])
    #expect(report["schema"]?.integer == 1 && report["cells"]?.array?.count == 2 * 3 * Behaviour.all.count)
  }

  private static func withoutTimes(_ file: String) throws -> String {
    let child = try ChildProcess(["cat", file])
    var lines: [String] = []
    while let line = child.readLine(timeout: .seconds(5)) {
      if !["\"ms\":", "\"seconds\":", "\"startedAt\":"].contains(where: line.contains) { lines.append(line) }
    }
    // Without commas behind the last members, some of which are gone.
    return lines.joined(separator: "\n").replacing(/,\n(\s*[}\]])/) { "\n\($0.1)" }
  }

  @Test func `a wrong command line is told, with status 2`() throws {
    for arguments in [
      ["--mode", "loud"], ["--behaviour", "B99"], ["--repeat", "x"], ["--adapter", "x"], ["--nonsense"],
    ] {
      #expect(try MatrixRun.run(arguments).exit == .code(2), "\(arguments)")
    }
  }

  @Test func `--list shows each cell with what is expected of it`() throws {
    let run = try MatrixRun.run(["--list", "--client", "old", "--behaviour", "B01", "--transport", "h1"])
    #expect(run.exit == .code(0) && run.text.contains("old/legacy/h1/B01") && run.text.contains("blind"), "\(run.text)")
    #expect(run.text.split(separator: "\n").count == 3)
  }
}
