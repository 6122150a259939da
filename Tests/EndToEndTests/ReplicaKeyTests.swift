import Harness
import JSON
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// Idempotency keys that are used on two replicas.
  @Suite(.enabled(if: RedisProcess.isAvailable)) struct ReplicaKeys {
    private func post(
      _ path: String, _ key: String, of gateway: GatewayProcess, _ replicas: Replicas, body: String = "{}"
    ) -> LiveStream {
      replicas.open(path, of: gateway, method: "POST", fields: [.signedIn, .idempotencyKey(key)], body: body)
    }

    @Test func `of two requests at the same moment one starts a run, a hundred times`() async throws {
      try await Replicas.with(script: RunWorld.ticking(3, every: .milliseconds(5))) { replicas in
        for round in 1...100 {
          let streams = replicas.both.map { post("/", "k-\(round)", of: $0, replicas) }
          for stream in streams {
            let result = await stream.result()
            #expect(result.payloads == RunWorld.numbers(1...3) && result.outcome == "completed", "\(result.text)")
          }
          #expect(await streams[0].result().streamID == streams[1].result().streamID)
          #expect(replicas.world.backend.requests.count == round)
        }
        for gateway in replicas.both {
          for round in [1, 50, 100] {
            let other = await post("/", "k-\(round)", of: gateway, replicas, body: "{ }").result()
            #expect(other.status == 422 && other.text.contains("idempotency_key_reused"))
            let again = await post("/", "k-\(round)", of: gateway, replicas).result()
            #expect(again.payloads == RunWorld.numbers(1...3) && again.status == 200)
          }
        }
        #expect(replicas.world.backend.requests.count == 100)
      }
    }

    @Test func `connections that are cut all the time start no run twice, and lose none`() async throws {
      try await Replicas.with(script: RunWorld.ticking(3, every: .milliseconds(5))) { replicas in
        let cutter = Task {
          var cuts = 0
          while !Task.isCancelled {
            try replicas.redis.cli("client", "kill", "type", "normal")
            cuts += 1
            try? await Task.sleep(for: .milliseconds(Int64.random(in: 250...350)))
          }
          return cuts
        }
        for round in 1...100 {
          let streams = replicas.both.map { post("/", "k-\(round)", of: $0, replicas) }
          for stream in streams {
            let result = await stream.result()
            #expect(result.payloads == RunWorld.numbers(1...3) && result.outcome == "completed", "\(result.text)")
            #expect(result.streamEnd?["resumable"]?.bool == true)
          }
          #expect(await streams[0].result().streamID == streams[1].result().streamID)
          #expect(replicas.world.backend.requests.count == round)
        }
        cutter.cancel()
        print("100 keys on two replicas, \(try await cutter.value) times all connections cut")
      }
    }

    @Test func `a repeat that waits for what turns out to be no stream is told so at once, and may ask again`()
      async throws
    {
      let plain = Script([
        .pause(.milliseconds(600)),
        .head(Script.Head(framing: .length(7), fields: [Script.Field("Content-Type", "application/json")])),
        .body("{\"a\":1}"), .end,
      ])
      let setup = Replicas.Setup { request in
        request.path == "/cut" ? Script([.pause(.milliseconds(600)), .cut]) : plain
      }
      try await Replicas.with(setup) { replicas in
        for (round, path) in ["/plain", "/cut"].enumerated() {
          let first = post(path, path, of: replicas.world.gateway, replicas)
          _ = await eventually { replicas.world.backend.requests.count == 2 * round + 1 }
          let repeats = replicas.both.map { post(path, path, of: $0, replicas) }
          let result = await first.result()
          let answered = replicas.world.clock
          #expect(path == "/plain" ? result.text == "{\"a\":1}" : result.status == 502)
          for (index, stream) in repeats.enumerated() {
            let result = await stream.result()
            // On the same loop the fault itself is known.
            let isKnown = path == "/cut" && index == 0 && result.status == 502
            #expect(isKnown || result.status == 503, "\(result.text)")
            #expect(result.endedAt - answered < .milliseconds(500) + MachineDelay.since(answered))
          }
          let result503 = await repeats[1].result()
          #expect(result503.text.contains("no_stream") && result503.head.value("Retry-After") == "1")
          #expect(replicas.world.backend.requests.count == 2 * round + 1)
          let again = await post(path, path, of: replicas.other, replicas).result()
          #expect(again.status == result.status && replicas.world.backend.requests.count == 2 * round + 2)
        }
      }
    }

    @Test func `a repeat that comes while a run without a stream is forgotten is never told that there is none`()
      async throws
    {
      try await Replicas.with(Replicas.Setup { _ in Script([.pause(.milliseconds(40)), .cut]) }) { replicas in
        var statuses: [Int: Int] = [:]
        for round in 1...30 {
          var streams: [LiveStream] = []
          for _ in 0..<30 {
            streams.append(post("/", "k-\(round)", of: replicas.world.gateway, replicas))
            try? await Task.sleep(for: .milliseconds(2))
          }
          for stream in streams { statuses[await stream.result().status, default: 0] += 1 }
        }
        #expect(statuses.keys.allSatisfy { [502, 503].contains($0) }, "\(statuses)")
      }
    }
  }
}
