import Harness
import JSON
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  @Suite(.enabled(if: RedisProcess.isAvailable)) struct RedisRuns {
    @Test func `a run can be read on another replica, from anywhere, by whoever opened it`() async throws {
      try await Replicas.with(script: RunWorld.ticking(20, every: .milliseconds(20))) { replicas in
        let live = replicas.world.openNew()
        #expect(await live.receives("data: 3\n"))
        let stream = try await replicas.stream(of: replicas.world.gateway)
        let attached = await replicas.ask("/fermata/streams/\(stream)")
        #expect(attached.payloads == RunWorld.numbers(1...20) && attached.outcome == "completed")
        #expect(await live.result().payloads == RunWorld.numbers(1...20))
        let resumed = await replicas.ask("/", fields: [.lastEventID("\(stream).7")])
        #expect(resumed.payloads == RunWorld.numbers(8...20) && resumed.streamID == stream)
        let done = await replicas.ask("/", fields: [.lastEventID("\(stream).21")])
        #expect(done.status == 204 && done.head.value("X-Stream-Outcome") == "completed")
        let foreign = await replicas.ask("/fermata/streams/\(stream)", fields: [.authorization("Bearer you")])
        let unknown = await replicas.ask("/fermata/streams/AAAAAAAAAAAAAAAAAAAAAA")
        #expect(foreign.status == 404 && foreign.body == unknown.body)
        let state = try JSONValue(parsing: await replicas.ask("/api/agents/run/\(stream)").text)
        #expect(state["state"]?.string == "ended" && state["sequence"]?.integer == 21)
        #expect(replicas.world.backend.requests.count == 1)
      }
    }

    @Test func `the same idempotency key on two replicas starts one run`() async throws {
      try await Replicas.with(script: RunWorld.ticking(20, every: .milliseconds(20))) { replicas in
        let fields = [Script.Field.acceptsEvents, .prefersStreamEnd, .signedIn, .idempotencyKey("k")]
        async let one = replicas.world.send(ClientRequest("POST", "/", fields: fields, body: Array("{}".utf8)))
        async let two = replicas.ask("/", method: "POST", fields: [.signedIn, .idempotencyKey("k")], body: "{}")
        for result in await [one, two] { #expect(result.payloads == RunWorld.numbers(1...20)) }
        #expect(replicas.world.backend.requests.count == 1)
        let another = await replicas.ask(
          "/", method: "POST", fields: [.signedIn, .idempotencyKey("k")], body: "{\"a\":1}")
        #expect(another.status == 422)
      }
    }

    @Test func `when the owner is killed, the other replica ends the run and tells its readers`() async throws {
      try await Replicas.with(script: RunWorld.ticking(600, every: .milliseconds(20))) { replicas in
        let owner = replicas.open("/")
        #expect(await owner.receives("data: 3\n"))
        let stream = try await replicas.stream(of: replicas.other)
        let reader = replicas.world.openNew("/fermata/streams/\(stream)")
        #expect(await reader.receives("data: 20\n"))
        replicas.other.signal(9)
        let result = await reader.result()
        #expect(result.outcome == "gateway_error")
        #expect(result.payloads == (1...result.payloads.count).map { "\($0)" } && result.payloads.count >= 20)
        let seen = await owner.result().payloads
        #expect(Array(result.payloads.prefix(seen.count)) == seen)
      }
    }

    @Test(arguments: ["restart", "pause", "kill"])
    func `nothing is lost while Redis is disturbed`(how: String) async throws {
      // A starved machine makes Redis seem to be away for longer than it is: patience is not what is tried here.
      let patient = "lease: \"2s\", patience: \"60s\""
      try await Replicas.with(redis: patient, script: RunWorld.ticking(150, every: .milliseconds(20))) { replicas in
        let first = replicas.world.openNew()
        #expect(await first.receives("data: 20\n"))
        let stream = try await replicas.stream(of: replicas.world.gateway)
        let second = replicas.open("/fermata/streams/\(stream)")
        #expect(await second.receives("data: 20\n"))
        switch how {
        case "restart":
          replicas.redis.kill()
          try await Task.sleep(for: .milliseconds(500))
          try await replicas.redis.restart()
        case "pause": try replicas.redis.cli("client", "pause", "5000", "ALL")
        default:
          try replicas.redis.cli("client", "kill", "type", "normal")
          let fresh = await replicas.world.fetchNew()
          #expect(fresh.payloads == RunWorld.numbers(1...150) && fresh.streamEnd?["resumable"]?.bool == true)
        }
        for result in [await first.result(), await second.result()] {
          #expect(result.payloads == RunWorld.numbers(1...150) && result.outcome == "completed")
          #expect(result.streamEnd?["resumable"]?.bool == true, "the logs: \(replicas.logs)")
        }
        let again = await replicas.ask("/fermata/streams/\(stream)")
        #expect(again.payloads == RunWorld.numbers(1...150))
      }
    }

    @Test func `without Redis a run goes on, and says that it can't be resumed`() async throws {
      let script = RunWorld.ticking(60, every: .milliseconds(50))
      try await Replicas.with(redis: "patience: \"500ms\"", script: script) { replicas in
        let running = replicas.world.openNew()
        #expect(await running.receives("data: 3\n"))
        replicas.redis.kill()
        let result = await running.result()
        #expect(result.payloads == RunWorld.numbers(1...60) && result.outcome == "completed")
        #expect(result.streamEnd?["resumable"]?.bool == false)
        let fresh = await replicas.world.fetchNew()
        #expect(fresh.payloads == RunWorld.numbers(1...60) && fresh.streamEnd?["resumable"]?.bool == false)
        #expect(replicas.world.gateway.log("run_store_lost").count == 2)
      }
    }

    @Test func `where runs must be kept, none begins without Redis, and one that runs ends`() async throws {
      let script = RunWorld.ticking(100, every: .milliseconds(50))
      try await Replicas.with("whenStoreFails: \"refuse\"", redis: "patience: \"500ms\"", script: script) { replicas in
        let running = replicas.world.openNew()
        #expect(await running.receives("data: 3\n"))
        replicas.redis.kill()
        #expect(await running.result().outcome == "gateway_error")
        let refused = await replicas.world.fetchNew()
        #expect(refused.status == 503 && refused.text.contains("run_store_lost"))
        #expect(replicas.world.backend.requests.count == 1)
      }
    }

    @Test func `a worker's run is delivered as it is written, on all replicas`() async throws {
      try await Replicas.with(script: Script([.head(), .end])) { replicas in
        let first = replicas.world.openNew("/api/agents/stream/job-1")
        let second = replicas.open("/api/agents/stream/job-1")
        #expect(await first.receives(":ok\n"))
        #expect(await second.receives(":ok\n"))
        let key = "ai:run:job-1:events"
        try replicas.redis.cli("xadd", key, "*", "event", "status", "data", "{\"state\":\"started\"}")
        #expect(await first.receives("event: status\n"))
        try replicas.redis.cli("xadd", key, "*", "event", "delta", "data", "word")
        #expect(await second.receives("event: delta\n"))
        let foreign = await replicas.ask("/api/agents/stream/job-1", fields: [.authorization("Bearer you")])
        #expect(foreign.status == 404)
        try replicas.redis.cli("xadd", key, "*", "end", "completed", "reason", "done")
        let results = [await first.result(), await second.result()]
        for result in results {
          #expect(result.payloads == ["{\"state\":\"started\"}", "word"] && result.outcome == "completed")
          #expect(result.text.contains("retry: 10000\n"))
        }
        #expect(results[0].streamID == results[1].streamID)
        let tail = results[0].lastID ?? ""
        #expect(await replicas.ask("/api/agents/stream/job-1", fields: [.lastEventID(tail)]).status == 204)
        #expect(replicas.world.backend.requests.isEmpty)
      }
    }

    @Test func `a worker's run that is stopped ends, though its worker says nothing`() async throws {
      try await Replicas.with(script: Script([.head(), .end])) { replicas in
        let reader = replicas.world.openNew("/api/agents/stream/job-2")
        #expect(await reader.receives(":ok\n"))
        #expect(await replicas.ask("/api/agents/run/job-2", method: "DELETE").status == 204)
        #expect(await reader.result().outcome == "cancelled")
        let exists = try replicas.redis.cli("exists", "ai:run:job-2:cancel")
        #expect(exists == "1")
      }
    }

    @Test func `a run that its worker publishes on a channel is delivered`() async throws {
      try await Replicas.with(script: Script([.head(), .end])) { replicas in
        let reader = replicas.world.openNew("/spoken/talk-1")
        #expect(await reader.receives(":ok\n"))
        let channel = "ai:run:talk-1:pubsub"
        let isHeard = try await eventually {
          try replicas.redis.cli("publish", channel, "{\"event\":\"delta\",\"data\":\"one\"}") == "1"
        }
        #expect(isHeard)
        try replicas.redis.cli("publish", channel, "two")
        try replicas.redis.cli("publish", channel, "{\"end\":\"completed\"}")
        let result = await reader.result()
        #expect(result.payloads == ["one", "two"] && result.outcome == "completed")
        #expect(result.events.first?.type == "delta")
      }
    }

    @Test func `a BullMQ job is delivered as a run`() async throws {
      try await Replicas.with(script: Script([.head(), .end])) { replicas in
        let reader = replicas.world.openNew("/jobs/7")
        #expect(await reader.receives(":ok\n"))
        let key = "bull:answers:events"
        try await Task.sleep(for: .milliseconds(300))
        try replicas.redis.cli("xadd", key, "*", "event", "progress", "jobId", "7", "data", "{\"percent\":50}")
        try replicas.redis.cli("xadd", key, "*", "event", "progress", "jobId", "8", "data", "{\"percent\":60}")
        try replicas.redis.cli("xadd", key, "*", "event", "completed", "jobId", "7", "returnvalue", "{\"answer\":42}")
        let result = await reader.result()
        #expect(result.events.map(\.type) == ["partial", "complete", "stream_end"])
        #expect(result.payloads == ["{\"percent\":50}", "{\"answer\":42}"] && result.outcome == "completed")
      }
    }

    @Test(.enabled(if: Replicas.python != nil), arguments: [false, true])
    func `the worker among the examples is heard through both gateways, and stops`(isStopped: Bool) async throws {
      let python = try #require(Replicas.python)
      try await Replicas.with(script: Script([.head(), .end])) { replicas in
        let first = replicas.world.openNew("/api/agents/stream/example-1")
        let second = replicas.open("/api/agents/stream/example-1")
        #expect(await first.receives(":ok\n"))
        let url = "redis://127.0.0.1:\(replicas.redis.port)"
        let worker = try ChildProcess(
          [python, "\(Replicas.root)/docs/examples/worker.py", "example-1", url],
          environment: ["NO_PROXY": "*", "no_proxy": "*"])
        #expect(await first.receives("event: delta\n"))
        if isStopped { _ = await replicas.ask("/api/agents/run/example-1", method: "DELETE") }
        let results = [await first.result(), await second.result()]
        #expect(worker.wait(timeout: .seconds(10)) == .code(0))
        #expect(results[0].payloads == results[1].payloads)
        for result in results { #expect(result.outcome == (isStopped ? "cancelled" : "completed")) }
        #expect(isStopped == (results[0].payloads.count < 11))
      }
    }
  }
}
