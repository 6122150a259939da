import Harness
import JSON
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// What the SDKs of model providers see of a waterfall: one clean stream, or an error of their own.
  ///
  /// They need `.ci/test` to have made its Python environment; see `RealClients`.
  @Suite struct SDKWaterfall {
    private static func configuration(_ upstreams: String) -> String {
      """
      {
        defaults: { gate: "firstToken", budget: "20s", timeouts: { head: "300ms", firstToken: "2s" } },
        upstreams: {
          hangs: { url: "UPSTREAM/hangs" }, fails: { url: "UPSTREAM/fails" }, good: { url: "UPSTREAM/good" },
          busy: { url: "UPSTREAM/busy" },
        },
        routes: [
          {
            name: "chat", path: "/v1/chat/completions", methods: ["POST"], upstreams: [\(upstreams)],
            stream: { dialect: "openai" },
          },
          {
            name: "messages", path: "/v1/messages", methods: ["POST"], upstreams: [\(upstreams)],
            stream: { dialect: "anthropic" },
          },
        ],
      }
      """
    }

    private static let overloaded = #"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#

    private static let script: @Sendable (RecordedRequest) -> Script = { request in
      let isAnthropic = request.path.hasSuffix("/messages")
      let anthropic = RealClients.anthropic.map { Script.Step.event($0.0, $0.1) }
      let openAI = [Waterfall.preamble] + RealClients.openAI.map { .event(nil, $0) } + [.event(nil, "[DONE]")]
      switch request.path.split(separator: "/").first {
      case "hangs": return Script([.stall])
      case "fails":
        let preamble = isAnthropic ? Array(anthropic.prefix(2)) : [Waterfall.preamble]
        return Script([.head()] + preamble + [.pause(.milliseconds(20)), .event("error", overloaded), .end])
      case "busy": return .plain(status: 503, type: "application/json", Array(overloaded.utf8))
      default: return Script([.head()] + (isAnthropic ? anthropic : openAI) + [.end])
      }
    }

    private static func withWorld(_ upstreams: String, _ body: (World, String, [String]) async throws -> Void)
      async throws
    {
      for variant in ["legacy", "graceful"] {
        let setup = World.Setup(
          variant: variant, settings: ["workers": "1"], configuration: configuration(upstreams), script: script)
        try await World.with(setup) { world in
          let options = variant == "graceful" ? ["prefer"] : []
          try await body(world, variant, ["http://\(world.gateway.address)", variant] + options)
        }
      }
    }

    private static let asked = ["/hangs", "/fails", "/good"]

    @Test(.enabled(if: Tools.havePython))
    func `OpenAI's SDK sees one clean stream of the third backend`() async throws {
      try await Self.withWorld(#""hangs", "fails", "good""#) { world, variant, arguments in
        let seen = try Tools.python("openai_sdk.py", arguments)
        #expect(seen["error"]?.isNull == true && seen["mode"]?.string == variant, "\(seen)")
        #expect(seen["text"]?.string == "word1 word2 word3 ")
        #expect(world.backend.requests.map(\.path) == Self.asked.map { $0 + "/v1/chat/completions" })
        #expect(await world.outcomes() == ["completed"])
      }
    }

    @Test(.enabled(if: Tools.havePython))
    func `Anthropic's SDK sees one clean stream of the third backend`() async throws {
      try await Self.withWorld(#""hangs", "fails", "good""#) { world, variant, arguments in
        let seen = try Tools.python("anthropic_sdk.py", arguments)
        #expect(seen["error"]?.isNull == true && seen["mode"]?.string == variant, "\(seen)")
        let types = seen["types"]?.array?.compactMap(\.string) ?? []
        #expect(types == RealClients.anthropic.map(\.0) + (variant == "graceful" ? ["stream_end"] : []))
        #expect(seen["text"]?.string == "hello")
        #expect(world.backend.requests.map(\.path) == Self.asked.map { $0 + "/v1/messages" })
        #expect(await world.outcomes() == ["completed"])
      }
    }

    @Test(.enabled(if: Tools.havePython), arguments: ["openai_sdk.py", "anthropic_sdk.py"])
    func `when all are bad the SDK raises its error of a 503, and what was tried can be read`(
      script: String
    ) async throws {
      try await Self.withWorld(#""hangs", "fails", "busy""#) { world, _, arguments in
        let seen = try Tools.python(script, arguments)
        #expect(seen["is_server_error"] == true && seen["status"]?.integer == 503, "\(seen)")
        let attempts = seen["body"]?["attempts"]?.array ?? []
        #expect(attempts.map { $0["upstream"]?.string } == ["hangs", "fails", "busy"], "\(seen)")
        #expect(attempts.map { $0["reason"]?.string } == ["timed_out", "error_event", "status"])
        // The message of the exception, which is what ends up in people's logs.
        #expect(seen["error"]?.string?.contains("none of the 3 backends") == true, "\(seen)")
        #expect(world.backend.requests.count == 3 && seen["text"]?.string == "")
      }
    }
  }
}
