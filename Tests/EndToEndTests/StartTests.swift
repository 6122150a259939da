import Harness
import JSON
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// Starts that go well, and those that are refused: each with its exit status.
  @Suite struct Start {
    /// One row of the table in docs/operations.md, and a command that ends so.
    struct Row: Sendable, CustomTestStringConvertible {
      let verb: String
      let status: Int32
      let arguments: [String]
      var mentions = ""
      var testDescription: String { "\(verb) \(status) \(mentions)" }
    }

    static let upstream = ["--upstream", "http://127.0.0.1:9"]
    static let rows = [
      Row(verb: "check", status: 0, arguments: upstream),
      Row(
        verb: "check", status: 0, arguments: ["--upstream", "http://no-such-host.invalid"], mentions: "no-such-host"),
      Row(verb: "check", status: 0, arguments: upstream + ["--flags", "GOOD"]),
      Row(verb: "check", status: 2, arguments: ["--nonsense"], mentions: "--nonsense"),
      Row(verb: "check", status: 3, arguments: [], mentions: "upstream"),
      Row(
        verb: "check", status: 3, arguments: upstream + ["--flags", "/missing/flags.json"],
        mentions: "/missing/flags.json"),
      Row(verb: "check", status: 3, arguments: upstream + ["--flags", "BROKEN"], mentions: "BROKEN"),
      Row(
        verb: "check", status: 3, arguments: upstream + ["--flags", "STRANGE"], mentions: "did you mean \"graceful\"?"),
      Row(verb: "check", status: 3, arguments: ["--config", "SECRET"], mentions: "/missing/key"),
      Row(verb: "check", status: 3, arguments: ["--config", "TLS"], mentions: "/missing/roots.pem"),
      Row(
        verb: "check", status: 3, arguments: upstream + ["--listen", "127.0.0.1:9000", "--admin", "127.0.0.1:9000"],
        mentions: "admin.listen"),
      Row(verb: "serve", status: 1, arguments: upstream + ["--listen", "192.0.2.1:80"], mentions: "192.0.2.1"),
      Row(verb: "serve", status: 2, arguments: ["--nonsense"], mentions: "--nonsense"),
      Row(verb: "serve", status: 3, arguments: [], mentions: "upstream"),
      Row(
        verb: "serve", status: 3, arguments: upstream + ["--flags", "/missing/flags.json"],
        mentions: "/missing/flags.json"),
      Row(verb: "serve", status: 3, arguments: upstream + ["--flags", "BROKEN"], mentions: "BROKEN"),
      Row(
        verb: "serve", status: 3, arguments: upstream + ["--flags", "STRANGE"], mentions: "did you mean \"graceful\"?"),
      Row(verb: "serve", status: 3, arguments: ["--config", "SECRET"], mentions: "/missing/key"),
      Row(
        verb: "serve", status: 3, arguments: upstream + ["--listen", "0.0.0.0:9000", "--admin", "127.0.0.1:9000"],
        mentions: "admin.listen"),
      Row(verb: "tail", status: 1, arguments: ["http://127.0.0.1:9/"]),
      Row(verb: "tail", status: 2, arguments: ["--nonsense"], mentions: "--nonsense"),
      Row(verb: "demo", status: 2, arguments: ["--nonsense"], mentions: "--nonsense"),
      Row(verb: "bench", status: 2, arguments: ["--nonsense"], mentions: "--nonsense"),
      Row(verb: "flags", status: 0, arguments: ["lint", "GOOD"]),
      Row(verb: "flags", status: 2, arguments: ["nonsense"], mentions: "nonsense"),
      Row(verb: "flags", status: 3, arguments: ["lint", "STRANGE"]),
      Row(verb: "flags", status: 5, arguments: ["show", "nothing", "--file", "GOOD"], mentions: "nothing"),
      Row(verb: "flags", status: 7, arguments: ["show", "--file", "/missing/flags.json"], mentions: "/missing"),
      Row(
        verb: "flags", status: 4,
        arguments: [
          "set", "stream-closing", "--default", "shield", "--file", "GOOD", "--if-revision", "77", "--reason", "test",
          "--yes",
        ]),
    ]

    static func files() throws -> (directory: ScratchDirectory, names: [String: String]) {
      let directory = try ScratchDirectory()
      let url = "upstreams: { a: { url: \"https://127.0.0.1:9\""
      let texts = [
        "GOOD": FlagFile.document("legacy"), "BROKEN": "{ \"flags\": ",
        "STRANGE": FlagFile.document("legacy").replacing("\"graceful\":", with: "\"gracefull\":"),
        "SECRET":
          "{ \(url), headers: { \"X-Key\": { file: \"/missing/key\" } } } }, routes: [{ name: \"r\", upstreams: \"a\" }] }",
        "TLS": "{ \(url), tls: { roots: \"/missing/roots.pem\" } } }, routes: [{ name: \"r\", upstreams: \"a\" }] }",
      ]
      for (name, text) in texts { directory.write(name, text) }
      return (directory, texts.mapValues { _ in directory.path })
    }

    @Test(arguments: rows)
    func `a command ends with the status that the table names`(_ row: Row) throws {
      let (directory, names) = try Self.files()
      let words = row.arguments.map { names[$0] == nil ? $0 : directory[$0] }
      var environment: [String: String] = [:]
      if row.verb == "serve" {
        if !words.contains("--listen") { environment["FERMATA_LISTEN"] = "127.0.0.1:0" }
        if !words.contains("--admin") { environment["FERMATA_ADMIN_LISTEN"] = "127.0.0.1:0" }
      }
      let run = try Program.run([row.verb] + words, environment: environment)
      #expect(run.exit == .code(row.status), "\(run)")
      #expect((run.errors + run.output).contains(row.mentions), "\(run)")
    }

    @Test func `every verb's help has the rows of the documentation, and no others`() throws {
      let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
      let page = try String(decoding: #require(ScratchDirectory.bytes("/\(root)/docs/operations.md")), as: UTF8.self)
      let section = try #require(page.split(separator: "## Exit statuses").last?.split(separator: "\n## ").first)
      var documented: [String: [String]] = [:]
      for line in section.split(separator: "\n") where line.hasPrefix("| ") {
        let cells = line.split(separator: "|").map {
          String($0.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
        }
        try #require(cells.count == 3)
        guard Int(cells[1]) != nil else { continue }
        documented[cells[0], default: []].append("  \(cells[1])  \(cells[2])")
      }
      #expect(
        Set(documented.keys) == [
          "serve", "check", "health", "top", "completions", "demo", "bench", "matrix", "tail", "flags",
        ])
      for (verb, rows) in documented {
        let help = try Program.run(verb == "flags" ? [verb, "lint", "--help"] : [verb, "--help"]).output
        let told = try #require(help.split(separator: "Exit status:\n").last)
        #expect(told.split(separator: "\n").map(String.init) == rows, "\(verb)")
      }
    }

    @Test func `a second process by mistake is refused and told who is there`() async throws {
      try await World.with { world in
        let other = ["serve", "--upstream", world.backend.url, "--listen"]
        for arguments in [
          other + ["\(world.gateway.address)", "--admin", "127.0.0.1:0"],
          other + ["127.0.0.1:0", "--admin", "\(world.gateway.admin)"],
        ] {
          let run = try Program.run(arguments, timeout: .seconds(10))
          #expect(run.exit == .code(1) && run.errors.contains("pid \(world.gateway.pid) (fermata)"), "\(run)")
        }
        #expect(await world.fetch("/?plain=1").status == 200)
      }
    }

    @Test func `processes that share change over on both ports without a gap`() async throws {
      let setup = World.Setup(settings: ["share": "true", "drain": "20s"]) { request in
        // Longer than a busy machine needs to start the second process.
        request.path == "/long"
          ? Script([.head(), .event(nil, "1"), .pause(.seconds(6)), .event(nil, "2"), .end])
          : .plain(Array("ok".utf8))
      }
      try await World.with(setup) { world in
        let long = world.open("/long")
        #expect(await long.receives("data: 1\n\n"))
        let second = try await GatewayProcess.start(
          ["--upstream", world.backend.url, "--share"], listen: "\(world.gateway.address)",
          admin: "\(world.gateway.admin)", clients: world.clients)
        #expect(second.log("admin_waiting").count == 1)
        #expect(await world.gateway.ask("/readyz").status == 200)
        world.gateway.signal(15)
        #expect(await eventually { !world.gateway.log("draining").isEmpty })
        #expect(await eventually { !second.log("admin_started").isEmpty })
        #expect(await second.ask("/readyz").status == 200)
        #expect(world.gateway.isRunning, "the long stream is not over")
        #expect(await world.fetch("/").status == 200)
        #expect(await long.result().payloads == ["1", "2"])
        second.signal(15)
        #expect(await second.exit(within: .seconds(8)) == .code(0))
      }
    }
  }
}
