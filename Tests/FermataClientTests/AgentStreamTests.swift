import FermataClient
import Foundation
import Harness
import Observation
import Testing
import Time

/// What a view sees.
@MainActor struct AgentStreamTests {
  private nonisolated static let id = "K4iOEHrIqKEd8FsJcnNBlQ"
  private nonisolated static let graceful: [Script.Field] = [
    .init("Content-Type", "text/event-stream"), .init("X-Stream-Mode", "graceful"), .init("X-Stream-Id", id),
  ]

  private func agent(_ backend: ScriptedBackend, limits: AgentStream.Limits = .init()) throws -> AgentStream {
    let url = try #require(URL(string: backend.url))
    let client = FermataClient()
    return AgentStream(limits: limits) { client.stream(url) }
  }

  private func until(_ agent: AgentStream, _ isTrue: (AgentStream) -> Bool) async -> Bool {
    for _ in 0..<500 where !isTrue(agent) { try? await Task.sleep(for: .milliseconds(10)) }
    return isTrue(agent)
  }

  /// Counts how often `partials` changes.
  @MainActor private final class Changes {
    private(set) var count = 0
    func follow(_ agent: AgentStream) {
      withObservationTracking {
        _ = agent.partials
      } onChange: {
        Task { @MainActor in
          self.count += 1
          self.follow(agent)
        }
      }
    }
  }

  @Test func `five thousand events in one piece change a view a few times`() async throws {
    let text = (0..<5000).map { "data: \($0)\n\n" }.joined() + "data: [DONE]\n\n"
    let backend = try ScriptedBackend.start { _ in Script([.head(), .body(text), .end]) }
    defer { backend.stop() }
    let agent = try agent(backend)
    let changes = Changes()
    changes.follow(agent)
    #expect(agent.status == .idle && backend.requests.isEmpty)
    agent.start()
    #expect(agent.status == .connecting)
    #expect(await until(agent) { $0.status == .done })
    #expect(agent.partials.count == 5001 && agent.isComplete && agent.error == nil)
    #expect(agent.bytesReceived == text.utf8.count)
    #expect(changes.count < 60, "\(changes.count) changes")
  }

  @Test func `beginning anew shows nothing of the stream before`() async throws {
    let backend = try ScriptedBackend.start { request in
      let word = request.number == 0 ? "old" : "new"
      let old = [Script.Step.repeated(count: 100, interval: .milliseconds(10), [.event(nil, "old")])]
      return Script([.head()] + (request.number == 0 ? old : []) + [.event(nil, word), .event(nil, "[DONE]"), .end])
    }
    defer { backend.stop() }
    let agent = try agent(backend)
    agent.start()
    #expect(await until(agent) { !$0.partials.isEmpty })
    agent.start()
    #expect(agent.partials.isEmpty && agent.status == .connecting)
    #expect(await until(agent) { $0.status == .done })
    #expect(agent.partials.map(\.data) == ["new", "[DONE]"])
    try await Task.sleep(for: .milliseconds(100))
    #expect(agent.partials.count == 2 && backend.openRequests == 0)
  }

  @Test func `a reset empties what is shown, and a failure is told`() async throws {
    let id = Self.id
    let backend = try ScriptedBackend.start { request in
      guard request.number > 0 else {
        return Script([
          .head(.init(fields: Self.graceful)), .body("retry: 10\n"), .event(nil, "a", id: "\(id).1"), .cut,
        ])
      }
      let reset = #"{"type":"stream_reset","source":"gateway","streamId":"\#(id)","reason":"evicted"}"#
      let end = #"{"type":"stream_end","outcome":"upstream_error","events":1,"lastEventId":"\#(id).7"}"#
      return Script([
        .head(.init(fields: Self.graceful)), .event("stream_reset", reset), .event(nil, "b", id: "\(id).7"),
        .event("stream_end", end), .end,
      ])
    }
    defer { backend.stop() }
    let agent = try agent(backend)
    agent.start()
    #expect(await until(agent) { $0.status == .failed })
    #expect(agent.partials.map(\.data) == ["b"] && agent.lastEventID == "\(id).7" && agent.streamID == id)
    #expect(agent.error?.code == "upstream_error" && !agent.isComplete)
  }

  @Test func `what is shown is bounded`() async throws {
    let backend = try ScriptedBackend.start { _ in .events((0..<100).map { "\($0)" } + ["[DONE]"]) }
    defer { backend.stop() }
    var limits = AgentStream.Limits()
    limits.events = 10
    let agent = try agent(backend, limits: limits)
    agent.start()
    #expect(await until(agent) { $0.status == .done })
    #expect(agent.partials.count == 10 && agent.partials.last?.data == "[DONE]" && agent.partialsDropped == 91)
  }

  @Test func `a view that goes leaves the server`() async throws {
    let backend = try ScriptedBackend.start { _ in Script([.head(), .event(nil, "a"), .stall]) }
    defer { backend.stop() }
    var agent: AgentStream? = try agent(backend)
    agent?.start()
    #expect(await until(try #require(agent)) { $0.partials.count == 1 })
    agent = nil
    for _ in 0..<100 where backend.openRequests > 0 { try await Task.sleep(for: .milliseconds(10)) }
    #expect(backend.openRequests == 0)
  }
}
