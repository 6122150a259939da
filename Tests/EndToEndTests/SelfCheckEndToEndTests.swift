import Harness
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// The gateway compares what it holds with what it counts.
  @Suite struct Accounts {
    @Test func `however streams end, nothing is left over, and what is open is accounted for`() async throws {
      let configuration = """
        { upstreams: { main: { url: "UPSTREAM" } },
          routes: [{ name: "kept", path: "/kept", upstreams: "main", runs: { onDisconnect: "continue" } },
            { name: "all", path: "/*", upstreams: "main" }] }
        """
      try await World.with(World.Setup(variant: "graceful", configuration: configuration)) { world in
        func unaccounted() async throws -> (streams: Double, runs: Double, descriptors: Double) {
          let metrics = try await world.gateway.metrics()
          return (
            metrics.value("fermata_unaccounted", ["kind": "streams"]),
            metrics.value("fermata_unaccounted", ["kind": "runs"]), metrics.value("fermata_unaccounted_fds")
          )
        }
        for path in ["/?events=2&complete=done", "/?events=1", "/kept?events=2&complete=done", "/?plain=10"] {
          for _ in 0..<5 { _ = await world.fetchNew(path) }
        }
        let open = (0..<20).map { world.openNew($0 % 2 == 0 ? "/?events=1&stall=5" : "/kept?events=1&stall=5") }
        for stream in open { #expect(await stream.receives("data")) }
        let meanwhile = try await unaccounted()
        #expect(meanwhile.streams == 0 && meanwhile.runs == 0)
        #expect(meanwhile.descriptors < 16, "40 connections are accounted for")
        for stream in open { stream.hangUp() }
        #expect(await eventually { await world.gateway.metric("ai_stream_connections_active") == 0 })
        let after = try await unaccounted()
        #expect(after.streams == 0 && after.runs == 0 && after.descriptors < 16)
        let memory = await world.gateway.metric("fermata_unaccounted_memory_bytes")
        #expect(memory < 104_857_600, "a metric that is there, and small")
      }
    }
  }
}
