import JSON
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// What people and scripts meet first.
  @Suite struct CommandLine {
    /// The verbs that the program itself lists.
    static var verbs: [String] {
      let overview = (try? Program.run(["--help"]).output) ?? ""
      return overview.split(separator: "\n").filter { $0.hasPrefix("  ") }
        .compactMap { $0.split(separator: " ").first.map(String.init) }
    }

    @Test func `help tells every verb, and every verb tells its own`() throws {
      let verbs = Self.verbs
      for verb in ["serve", "check", "flags"] { #expect(verbs.contains(verb), "\(verb)") }
      for verb in verbs {
        let help = try Program.run([verb, "--help"])
        #expect(help.exit == .code(0) && help.output.contains("usage: fermata \(verb)"), "\(verb)")
        #expect(help.errors.isEmpty, "\(verb): \(help.errors)")
      }
    }

    @Test func `the version is told`() throws {
      let run = try Program.run(["--version"])
      #expect(run.exit == .code(0) && run.output.hasPrefix("fermata ") && run.output.contains("libevent"))
    }

    @Test(
      arguments: [
        ([], "usage"), (["nonsense"], "nonsense"), (["serve", "--nonsense"], "--nonsense"),
        (["serve", "word"], "word"),
        (["serve", "--upstream"], "--upstream"), (["check", "--workers=2", "x"], "x"),
      ] as [([String], String)])
    func `a wrong command line is told, with status 2`(arguments: [String], mention: String) throws {
      let run = try Program.run(arguments)
      #expect(run.exit == .code(2) && run.errors.contains(mention) && run.output.isEmpty, "\(run)")
    }

    @Test(arguments: [
      ("{ upstream: 3 }", ["upstream"]), ("{ upstream: \"ftp://x\" }", ["upstream"]), ("{}", ["upstream"]),
      ("{ upstream: \"http://h\", nonsense: 1 }", ["nonsense"]),
      ("{ upstream: \"http://h\", workers: 0, drain: \"soon\" }", ["workers", "drain"]),
      (
        "{ upstream: \"http://h\", stream: { idle: -1, onHalfClose: \"maybe\" } }",
        ["stream.idle", "stream.onHalfClose"]
      ),
      ("{ upstreams: { a: { url: \"http://h\" } }, routes: [ { name: \"r\", upstreams: [\"b\"] } ] }", ["\"b\""]),
      ("{ upstream: \"http://h\", admin: { listen: \"0.0.0.0:1\" } }", ["admin.token"]),
      ("{ upstream: \"http://h\", capability: { versions: [ { since: \"x\" } ] } }", ["capability.versions[0]"]),
      ("{ upstream: ", ["1"]), ("[]", ["object"]),
    ])
    func `check tells each mistake with its path, with status 3`(text: String, mentions: [String]) throws {
      let directory = try ScratchDirectory()
      directory.write("fermata.json5", text)
      let run = try Program.run(["check", "--config", directory["fermata.json5"]])
      #expect(run.exit == .code(3) && run.output.isEmpty, "\(run)")
      for mention in mentions { #expect(run.errors.contains(mention), "\(mention) in \(run.errors)") }
    }

    @Test func `check prints what is in force: option over variable over file over default`() throws {
      let directory = try ScratchDirectory()
      directory.write(
        "fermata.json5",
        "{ upstream: 'http://127.0.0.1:9', listen: '127.0.0.1:1', workers: 3, stream: { idle: '1m', keepalive: '2s' } }"
      )
      let run = try Program.run(
        ["check", "--config", directory["fermata.json5"], "--workers", "5"],
        environment: [
          "FERMATA_WORKERS": "4", "FERMATA_STREAM_IDLE": "90s", "FERMATA_ADMIN_TOKEN": "0123456789abcdef-secret",
        ])
      #expect(run.exit == .code(0) && run.errors.isEmpty, "\(run)")
      let document = try JSONValue(parsing: run.output)
      #expect(document["workers"]?.integer == 5 && document["listen"]?.string == "127.0.0.1:1")
      let stream = document["routes"]?.array?.first?["stream"]
      #expect(stream?["idle"]?.string == "90s" && stream?["keepalive"]?.string == "2s")
      #expect(stream?["firstToken"]?.string == "35s")
      #expect(!run.output.contains("0123456789abcdef"), "secrets are left out")
    }

    @Test func `a bad variable is told by its name`() throws {
      let run = try Program.run(
        ["check", "--upstream", "http://h"], environment: ["FERMATA_STREAM_IDLE": "soon"])
      #expect(run.exit == .code(3) && run.errors.contains("FERMATA_STREAM_IDLE"), "\(run)")
    }

    @Test(arguments: [
      ("FERMATA_STREM_IDLE", "did you mean FERMATA_STREAM_IDLE?"), ("FERMATA_LISTN", "did you mean FERMATA_LISTEN?"),
    ])
    func `a variable that is nearly one is a mistake`(name: String, text: String) throws {
      for verb in ["check", "serve"] {
        let words = [verb, "--upstream", "http://127.0.0.1:9", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        let run = try Program.run(words, environment: [name: "5s"])
        #expect(run.exit == .code(3) && run.errors.contains("\(name): ") && run.errors.contains(text), "\(run)")
      }
    }

    @Test func `a port that is taken is told, with status 1`() throws {
      let port = try RawListener()
      let taken = "\(port.address)"
      let arguments = ["serve", "--upstream", "http://127.0.0.1:9", "--listen"]
      let run = try Program.run(arguments + [taken, "--admin", "127.0.0.1:0"], timeout: .seconds(5))
      #expect(run.exit == .code(1) && run.errors.contains(taken), "\(run)")
      let admin = try Program.run(arguments + ["127.0.0.1:0", "--admin", taken], timeout: .seconds(5))
      #expect(admin.exit == .code(1) && admin.errors.contains(taken), "\(admin)")
    }
  }
}
