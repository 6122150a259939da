import Harness
import JSON
import Processes
import RunningGateway
import Testing
import Time

/// A thread of a gateway that a debugger stopped.
private final class StoppedThread {
  private let debugger: ChildProcess

  init(_ name: String, of gateway: GatewayProcess) throws {
    debugger = try ChildProcess(["python3", "Tests/RealClients/stop_thread.py", "\(gateway.pid)", name])
    guard debugger.readLine(timeout: .seconds(10)) == "stopped" else { throw SupportError("\(name) was not stopped") }
  }

  func goOn() {
    debugger.closeInput()
    _ = debugger.wait(timeout: .seconds(10))
  }
}

extension EndToEnd {
  /// What balancers, supervisors and people find out about a process.
  @Suite struct Health {
    @Test func `a worker that is stuck is told, and holds up no answer`() async throws {
      try await World.with { world in
        let before = try await world.gateway.metrics()
        let thread = try StoppedThread("worker-1", of: world.gateway)
        let start = world.clock
        let metrics = try await world.gateway.metrics()
        #expect(world.clock - start < .milliseconds(1500) + MachineDelay.since(start), "a scrape is late")
        #expect(metrics.value("fermata_requests_total") >= before.value("fermata_requests_total"))
        let alive = try Program.run(["health", "--admin", "http://\(world.gateway.admin)"])
        #expect(alive.exit == .code(0), "silent for less than 5 s: \(alive)")
        #expect(await eventually(within: .seconds(4)) { await world.gateway.ask("/readyz").status == 503 })
        #expect(
          await eventually(within: .milliseconds(6000 - Int((world.clock - start).milliseconds))) {
            await world.gateway.ask("/healthz").status == 503
          })
        let told = try JSONValue(parsing: await world.gateway.ask("/healthz").body)
        #expect(told["status"]?.string == "worker_silent")
        #expect(told["workers"]?.array?.compactMap { $0["worker"]?.integer } == [1])
        #expect((told["workers"]?.array?.first?["silentSeconds"]?.number ?? 0) >= 5)
        let dead = try Program.run(["health", "--admin", "http://\(world.gateway.admin)"])
        #expect(dead.exit == .code(1) && dead.output.contains("worker_silent"), "\(dead)")

        let late = world.clock
        let seen = try await world.gateway.metrics()
        let took = world.clock - late
        #expect(took < .milliseconds(500) + MachineDelay.since(late), "nobody waits for one that is silent")
        #expect(seen.value("fermata_worker_last_seen_seconds", ["worker": "1"]) >= 5)
        #expect(seen.value("fermata_worker_last_seen_seconds", ["worker": "0"]) < 1)
        thread.goOn()
        #expect(await eventually(within: .seconds(3)) { await world.gateway.ask("/readyz").status == 200 })
        #expect(await world.gateway.ask("/healthz").status == 200)
      }
    }

    @Test func `after SIGTERM the port stays open for drainDelay, and clients are told to go`() async throws {
      let setup = World.Setup(settings: ["drainDelay": "2s"]) { _ in .plain(Array("ok".utf8)) }
      try await World.with(setup) { world in
        let kept = try RawConnection(to: world.gateway.address)
        kept.send("GET /one HTTP/1.1\r\nHost: h\r\n\r\n")
        #expect(kept.response()?.text == "ok")
        world.gateway.signal(15)
        #expect(await eventually { await world.gateway.ask("/readyz").status == 503 })
        #expect(await world.gateway.ask("/healthz").status == 200)
        try await Task.sleep(for: .milliseconds(1000))
        kept.send("GET /two HTTP/1.1\r\nHost: h\r\n\r\n")
        let last = try #require(kept.response())
        #expect(last.text == "ok" && last.head.value("Connection") == "close")
        #expect(await world.fetch("/three").status == 200)
        #expect(await world.gateway.exit(within: .seconds(12)) == .code(0))
        #expect(await world.fetch("/four").status == 0)
      }
    }

    @Test func `a route without any upstream that may be asked is told`() async throws {
      let settings = """
        {
          upstreams: {
            a: { url: "http://127.0.0.1:9", health: { failures: 1, ejection: "60s" } }, b: { url: "http://127.0.0.1:9" },
          },
          workers: 1,
          admin: { readyWhen: "upstreams" },
          routes: [
            { name: "both", path: "/both", upstreams: ["a", "b"] },
            { name: "chat", path: "/*", upstreams: "a", gate: "firstEvent" },
          ],
        }
        """
      func left(_ gateway: GatewayProcess, _ route: String) async -> Double? {
        let samples = (try? await gateway.metrics())?.samples ?? []
        return samples.first { $0.name == "fermata_route_upstreams_available" && $0.labels == ["route": route] }?.value
      }
      let directory = try ScratchDirectory()
      directory.write("fermata.json5", settings)
      let clients = try ClientLoop.start()
      let gateway = try await GatewayProcess.start(
        ["--config", directory["fermata.json5"]], environment: ["FERMATA_WORKERS": "1"], clients: clients)
      #expect(await gateway.ask("/readyz").status == 200)
      #expect(await left(gateway, "chat") == 1)
      #expect(await left(gateway, "both") == 2)
      for _ in 0..<3 { _ = await clients.fetch(ClientRequest("GET", "/x"), from: gateway.address) }
      let ready = await gateway.ask("/readyz")
      let told = try JSONValue(parsing: ready.body)
      #expect(ready.status == 503 && told["status"] == "no_upstream" && told["routes"] == ["chat"], "\(ready.text)")
      let asked = try Program.run(["health", "--ready", "--admin", "\(gateway.admin)"])
      #expect(asked.exit == .code(1) && asked.output.contains("chat"))
      #expect(await left(gateway, "chat") == 0)
      #expect(await left(gateway, "both") == 1)
      #expect(await left(gateway, "none") == nil, "no route has no upstreams")
      let top = try Program.run(["top", "--admin", "\(gateway.admin)", "--once"])
      #expect(top.output.contains("! Route chat: none of its backends is well.") && !top.output.contains("Route both"))
      #expect(await gateway.ask("/healthz").status == 200)
      gateway.signal(15)
      #expect(await gateway.exit(within: .seconds(8)) == .code(0))
      clients.stop()
    }

    @Test func `health says when nobody answers`() throws {
      let run = try Program.run(["health", "--admin", "http://127.0.0.1:9"])
      #expect(run.exit == .code(1) && run.errors.contains("127.0.0.1:9/healthz does not answer"), "\(run)")
      #expect(try Program.run(["health", "--admin", "nowhere"]).exit == .code(2))
    }

    @Test(arguments: [false, true])
    func `a service manager hears of each step, and of a watchdog only while all workers are seen`(
      isAbstract: Bool
    ) async throws {
      let directory = try ScratchDirectory()
      let name = isAbstract ? "@fermata-\(directory["x"].hashValue)" : directory["notify"]
      let manager = try ChildProcess(["python3", "-u", "Tests/RealClients/notified.py", name])
      defer { _ = manager.stop() }
      #expect(manager.readLine(timeout: .seconds(10)) == "listening")
      let clients = try ClientLoop.start()
      let gateway = try await GatewayProcess.start(
        ["--upstream", "http://127.0.0.1:9"], environment: ["NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000000"],
        clients: clients)
      /// The next message that is no status and no sign of life.
      func step() -> String? {
        while let line = manager.readLine(timeout: .seconds(5)) {
          if !line.hasPrefix("STATUS=") && line != "WATCHDOG=1" { return line }
        }
        return nil
      }
      #expect(step() == "READY=1")
      gateway.signal(1)
      let reloading = step() ?? ""
      #expect(reloading.hasPrefix("RELOADING=1 MONOTONIC_USEC="), "\(reloading)")
      #expect(step() == "READY=1")
      let thread = try StoppedThread("worker-1", of: gateway)
      // A sign may come until half of the interval is over; then there is none.
      try await Task.sleep(for: .milliseconds(1100))
      try await drain(manager)
      let quiet = SystemClock.now
      var signs = 0
      while SystemClock.now - quiet < .seconds(2) {
        if manager.readLine(timeout: .milliseconds(200)) == "WATCHDOG=1" { signs += 1 }
      }
      #expect(signs == 0, "\(signs) signs of life with a worker that is stuck")
      thread.goOn()
      #expect(await eventually(within: .seconds(5)) { manager.readLine(timeout: .milliseconds(200)) == "WATCHDOG=1" })
      gateway.signal(15)
      #expect(step() == "STOPPING=1")
      #expect(await gateway.exit(within: .seconds(8)) == .code(0))
      clients.stop()
    }

    /// Reads what is there already.
    private func drain(_ manager: ChildProcess) async throws {
      while manager.readLine(timeout: .milliseconds(50)) != nil {}
    }
  }
}
