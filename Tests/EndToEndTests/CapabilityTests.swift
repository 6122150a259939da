import Harness
import JSON
import RunningGateway
import Testing

extension EndToEnd {
  /// How it is found what a client can do.
  @Suite struct CapabilityDetection {
    static let configuration = """
      {
        upstream: "UPSTREAM",
        capability: {
          header: "X-Can-End",
          versions: [
            { header: "User-Agent", product: "acme-web", since: "2.3.0", until: "4.0.0", except: ["2.4.1"] },
            { header: "X-Client-Version", since: "5.0.0" },
          ],
        },
      }
      """

    static func setup(_ variant: String = "graceful") -> World.Setup {
      World.Setup(variant: variant, configuration: configuration, script: { _ in .events(["1", "[DONE]"]) })
    }

    @Test func `the first source that speaks decides, and says which`() async throws {
      let rows: [(fields: [Script.Field], query: String, mode: String, source: String)] = [
        ([.prefersStreamEnd], "", "graceful", "prefer"),
        ([.init("Prefer", "wait=10, Stream-End;x=1")], "", "graceful", "prefer"),
        ([.init("Prefer", "stream-end=0"), .init("X-Can-End", "1")], "?stream_end=1", "legacy", "prefer"),
        ([.init("Prefer", "wait=10"), .init("X-Can-End", "1")], "?stream_end=0", "graceful", "header"),
        ([.init("x-can-end", "false")], "?stream_end=1", "legacy", "header"),
        ([], "?stream_end=1", "graceful", "query"),
        ([], "?a=1&stream_end=0&b", "legacy", "query"),
        ([.init("User-Agent", "acme-web/2.3.0")], "", "graceful", "version"),
        ([.init("User-Agent", "Mozilla/5.0 acme-web/3.1.4 x")], "", "graceful", "version"),
        ([.init("User-Agent", "acme-web/2.2.9")], "", "legacy", "version"),
        ([.init("User-Agent", "acme-web/2.3.0-rc.1")], "", "legacy", "version"),
        ([.init("User-Agent", "acme-web/2.4.1")], "", "legacy", "version"),
        ([.init("User-Agent", "acme-web/4.0.0")], "", "legacy", "version"),
        ([.init("User-Agent", "other/9.9.9")], "", "legacy", "none"),
        ([.init("X-Client-Version", "5.0.0")], "", "graceful", "version"),
        ([.init("X-Client-Version", "nonsense")], "", "legacy", "none"),
        ([], "", "legacy", "none"),
      ]
      try await World.with(Self.setup()) { world in
        for (number, row) in rows.enumerated() {
          let result = await world.fetch("/x" + row.query, fields: row.fields)
          #expect(result.mode == row.mode, "row \(number): \(row)")
          #expect(await eventually { world.gateway.log("stream_opened").count == number + 1 })
          #expect(world.gateway.log("stream_opened").last?["capability"]?.string == row.source, "row \(number): \(row)")
        }
        let metrics = try await world.gateway.metrics()
        #expect(metrics.value("fermata_streams_total", ["mode": "graceful", "source": "prefer"]) == 2)
        #expect(metrics.value("fermata_streams_total", ["mode": "graceful", "source": "version"]) == 3)
        #expect(metrics.value("fermata_streams_total", ["mode": "legacy", "source": "none"]) == 3)
      }
    }

    @Test(arguments: [
      ("/a?stream_end=1", "/a"), ("/a?stream_end=1&b=2", "/a?b=2"), ("/a?b=2&stream_end=0", "/a?b=2"),
      ("/a?b=%20&stream_end=1&c", "/a?b=%20&c"), ("/a?stream_ending=1", "/a?stream_ending=1"),
    ])
    func `the query parameter never reaches the backend, everything else does`(
      asked: String, seen: String
    ) async throws {
      try await World.with(Self.setup()) { world in
        _ = await world.fetch(asked)
        #expect(world.backend.requests.map(\.target) == [seen])
      }
    }

    @Test func `Preference-Applied answers Prefer alone, and only when it was applied`() async throws {
      try await World.with(Self.setup("graceful")) { world in
        #expect(await world.fetchNew().head.value("Preference-Applied") == "stream-end")
        #expect(await world.fetch("/?stream_end=1").head.value("Preference-Applied") == nil)
      }
      try await World.with(Self.setup("legacy")) { world in
        let result = await world.fetchNew()
        #expect(result.mode == "legacy" && result.head.value("Preference-Applied") == nil)
      }
    }

    @Test(arguments: [
      ("graceful", true, "graceful"), ("graceful", false, "legacy"), ("shield", true, "graceful"),
      ("shield", false, "shield"), ("legacy", true, "legacy"), ("legacy", false, "legacy"),
    ])
    func `the mode is capability times flag`(variant: String, isNew: Bool, mode: String) async throws {
      try await World.with(Self.setup(variant)) { world in
        let result = isNew ? await world.fetchNew() : await world.fetch()
        #expect(result.mode == mode)
      }
    }
  }
}
