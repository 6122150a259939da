import Glibc
import Harness
import JSON
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// Runs whose gateway was killed, and that nobody reads.
  @Suite(.enabled(if: RedisProcess.isAvailable)) struct ReplicaOrphans {
    enum Question: CaseIterable { case status, stop, repetition }

    private static func setup() -> Replicas.Setup {
      Replicas.Setup { _ in RunWorld.ticking(2000, every: .milliseconds(20)) }
    }

    /// A run of the second gateway, which is killed then.
    private func orphan(_ replicas: Replicas) async throws -> String {
      let reader = replicas.post("k", of: replicas.other)
      #expect(await reader.receives("data: 3\n"))
      let stream = try await reader.streamID()
      replicas.other.signal(SIGKILL)
      _ = await reader.result()
      return stream
    }

    private func ask(_ question: Question, _ stream: String, _ replicas: Replicas) async {
      let path = "/api/agents/run/\(stream)"
      switch question {
      case .status:
        let answer = await replicas.world.send(ClientRequest("GET", path, fields: [.authorization("Bearer me")]))
        #expect(answer.status == 200 && answer.text.contains("\"state\":\"running\""), "\(answer.text)")
      case .stop:
        let answer = await replicas.world.send(ClientRequest("DELETE", path, fields: [.authorization("Bearer me")]))
        #expect(answer.status == 204)
      case .repetition:
        let reader = replicas.post("k", of: replicas.world.gateway)
        #expect(await reader.receives("data: 3\n"))
        reader.hangUp()
      }
    }

    @Test(arguments: Question.allCases)
    func `who only asks for a run whose gateway is gone makes it end`(_ question: Question) async throws {
      try await Replicas.with(Self.setup()) { replicas in
        let stream = try await orphan(replicas)
        await ask(question, stream, replicas)
        // Nobody asks again meanwhile.
        let hasEnd = try await eventually(within: .seconds(20)) { try !replicas.ends(of: stream).isEmpty }
        #expect(hasEnd)
        #expect(try replicas.ends(of: stream) == ["gateway_error"])
        let request = ClientRequest("GET", "/api/agents/run/\(stream)", fields: [.authorization("Bearer me")])
        let answer = try JSONValue(parsing: await replicas.world.send(request).body)
        #expect(answer["state"]?.string == "ended" && answer["outcome"]?.string == "gateway_error", "\(answer)")
        #expect(answer["reason"]?.string?.contains("runs.redis.lease") == true, "\(answer)")
      }
    }

    @Test func `who asks for a run whose gateway is there ends nothing`() async throws {
      try await Replicas.with(Self.setup()) { replicas in
        let reader = replicas.post("k", of: replicas.other)
        #expect(await reader.receives("data: 3\n"))
        let stream = try await reader.streamID()
        let clock = replicas.world.clock
        // For longer than a lease.
        while replicas.world.clock - clock < .seconds(4) {
          await ask(.status, stream, replicas)
          try await Task.sleep(for: .milliseconds(100))
        }
        #expect(try replicas.ends(of: stream).isEmpty)
        reader.hangUp()
      }
    }
  }
}
