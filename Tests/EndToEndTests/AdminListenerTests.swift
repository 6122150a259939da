import Harness
import JSON
import Loop
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// Who may ask the operators' listener, and how often.
  @Suite struct AdminListener {
    private static func status(_ address: RawConnection, host: String) -> Int? {
      address.send("GET /config HTTP/1.1\r\nHost: \(host)\r\n\r\n")
      return address.response()?.status
    }

    @Test func `a name that is not its own is refused, so that no page reads it`() async throws {
      let configuration = """
        { upstream: "UPSTREAM", workers: 1, admin: { hosts: ["Gateway.internal"] } }
        """
      try await World.with(World.Setup(configuration: configuration)) { world in
        let port = world.gateway.admin.port
        for host in [
          "127.0.0.1", "127.0.0.1:\(port)", "[::1]", "10.1.2.3:8081", "localhost", "LOCALHOST:1",
          "fermata.localhost", "gateway.internal:\(port)", "GATEWAY.internal",
        ] {
          #expect(Self.status(try RawConnection(to: world.gateway.admin), host: host) == 200, "\(host)")
        }
        for host in [
          "evil.example", "evil.example:\(port)", "localhost.evil.example", "1.2.3.4.evil.example", "gateway",
        ] {
          let connection = try RawConnection(to: world.gateway.admin)
          connection.send("GET /config HTTP/1.1\r\nHost: \(host)\r\n\r\n")
          let answer = try #require(connection.response())
          #expect(answer.status == 421 && answer.text.contains("admin.hosts"), "\(host)")
          #expect(!answer.text.contains("upstreams"))
        }
      }
    }

    @Test func `silent connections do not lock operators out`() async throws {
      try await World.with { world in
        let silent = try (0..<80).map { _ in try RawConnection(to: world.gateway.admin) }
        let start = world.clock
        for _ in 0..<3 { #expect(await world.gateway.ask("/readyz").status == 200) }
        #expect(world.clock - start < .seconds(2))
        #expect(silent[0].rest().isEmpty, "the oldest has given way")
        withExtendedLifetime(silent) {}
      }
    }

    @Test func `what the process is and uses is in the metrics`() async throws {
      try await World.with { world in
        #expect(await eventually { await world.gateway.metric("fermata_loop_lag_seconds_count") > 0 })
        let metrics = try await world.gateway.metrics()
        #expect(metrics.value("fermata_build_info", ["version": "0.1.0"]) == 1)
        let info = try #require(metrics.samples.first { $0.name == "fermata_build_info" })
        #expect(Set(info.labels.keys) == ["version", "commit", "libevent", "openssl"])
        #expect(info.labels["openssl"]?.hasPrefix("3.") == true)
        #expect(metrics.value("process_cpu_seconds_total") > 0)
        #expect(metrics.value("process_resident_memory_bytes") > 1_000_000)
        #expect(metrics.value("process_open_fds") > 8)
        #expect(metrics.value("process_max_fds") >= metrics.value("process_open_fds"))
        #expect(metrics.value("process_start_time_seconds") > 1_700_000_000)
        #expect(metrics.value("fermata_log_lines_total", ["level": "info"]) >= 1)
        #expect(metrics.value("fermata_log_lines_dropped_total") == 0)
        #expect(metrics.samples.filter { $0.name == "fermata_guard_checks_total" }.count >= 20, "from the start")
        let started = try #require(world.gateway.log("started").first)
        #expect(started["version"]?.string == "0.1.0" && started["commit"]?.string != nil)
      }
    }

    @Test func `promtool has nothing to say but of the names that dashboards know`() async throws {
      try await World.with { world in
        _ = await world.fetch("/?events=3&complete=done")
        let text = await world.gateway.ask("/metrics").text
        world.flags.directory.write("metrics", text)
        let check = try ChildProcess(
          ["sh", "-c", "promtool check metrics < \"$0\" 2>&1; true", world.flags.directory["metrics"]])
        var complaints: [String] = []
        while let line = check.readLine(timeout: .seconds(20)) { complaints.append(line) }
        #expect(
          complaints.filter { !$0.hasPrefix("ai_stream_") && !$0.hasPrefix("fermata_upstream_phase_milliseconds") }
            == [])
        #expect(!complaints.isEmpty, "promtool ran")
      }
    }
  }
}
