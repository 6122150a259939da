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
        #expect(world.clock - start < .seconds(2) + MachineDelay.since(start))
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

    @Test func `requests of operators are counted by path and status, made-up paths in one series`() async throws {
      try await World.with(World.Setup(settings: ["admin.token": "0123456789abcdef-secret"])) { world in
        let right = [Script.Field("Authorization", "Bearer 0123456789abcdef-secret")]
        for _ in 0..<3 { #expect(await world.gateway.ask("/flags", fields: right).status == 200) }
        #expect(await world.gateway.ask("/flags").status == 401)
        for number in 0..<5 { #expect(await world.gateway.ask("/made-up/\(number)", fields: right).status == 404) }
        #expect(await world.gateway.ask("/streams/abc/stop", fields: right, method: "POST").status == 403)
        let broken = try RawConnection(to: world.gateway.admin)
        broken.send("GET /flags HTTP/9\r\n\r\n")
        let status = try #require(broken.response()).status
        let metrics = try MetricsText(parsing: await world.gateway.ask("/metrics", fields: right).text)
        func count(_ path: String, _ code: Int) -> Double {
          metrics.value("fermata_admin_requests_total", ["path": path, "code": "\(code)"])
        }
        #expect(count("/flags", 200) == 3 && count("/flags", 401) == 1)
        #expect(count("other", 404) == 5 && count("other", status) == 1 && count("/streams/ID/stop", 403) == 1)
        world.gateway.signal(15)
        #expect(await world.gateway.exit(within: .seconds(5)) == .code(0))
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
        while let line = check.readLine(timeout: .seconds(60)) { complaints.append(line) }
        #expect(
          complaints.map { $0.split(separator: " ").first ?? "" } == [
            "ai_stream_clients_gauge", "ai_stream_duration_milliseconds", "ai_stream_ttfb_milliseconds",
          ], "\(complaints)")
      }
    }
  }
}
