import FermataClient
import Foundation
import Harness
import Testing
import Time

#if canImport(FoundationNetworking)
  import FoundationNetworking
#endif

/// What the library does with real connections.
@Suite(.serialized) struct TransportTests {
  private func text(of stream: FermataStream) async throws -> [String] {
    var all: [String] = []
    for try await message in stream { if case .event(let event) = message { all.append(event.data) } }
    return all
  }

  private func request(_ url: String, _ method: String = "GET", body: String? = nil) throws -> URLRequest {
    var request = URLRequest(url: try #require(URL(string: url)))
    request.httpMethod = method
    request.httpBody = body.map { Data($0.utf8) }
    request.setValue("Bearer secret", forHTTPHeaderField: "Authorization")
    return request
  }

  private func eventually(_ isTrue: () -> Bool) async -> Bool {
    for _ in 0..<300 where !isTrue() { try? await Task.sleep(for: .milliseconds(10)) }
    return isTrue()
  }

  @Test func `a hundred streams at once are whole`() async throws {
    let steps = (0..<20).flatMap { [Script.Step.event(nil, "\($0)"), .pause(.milliseconds(10))] }
    let backend = try ScriptedBackend.start { _ in Script([.head()] + steps + [.event(nil, "[DONE]"), .end]) }
    defer { backend.stop() }
    let client = FermataClient()
    let whole = try await withThrowingTaskGroup(of: Int.self) { group in
      for _ in 0..<100 {
        group.addTask { try await text(of: client.stream(request(backend.url))).count }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(whole == Array(repeating: 21, count: 100))
  }

  @Test(arguments: ["break", "cancel", "close"])
  func `the server sees a client leave within a second`(how: String) async throws {
    let backend = try ScriptedBackend.start { _ in Script([.head(), .event(nil, "a"), .stall]) }
    defer { backend.stop() }
    let stream = FermataClient().stream(try request(backend.url))
    let task = Task { for try await _ in stream where how == "break" { break } }
    #expect(await eventually { backend.openRequests == 1 || how == "break" && backend.requests.count == 1 })
    for _ in 0..<300 where await stream.eventsReceived == 0 { try await Task.sleep(for: .milliseconds(10)) }
    let left = ContinuousClock.now
    if how == "cancel" { task.cancel() }
    if how == "close" { await stream.close() }
    #expect(await eventually { backend.openRequests == 0 })
    #expect(ContinuousClock.now - left < .seconds(1))
    _ = await task.result
  }

  @Test(arguments: [301, 302, 303, 307, 308])
  func `a redirect is followed as the standard says, and secrets stay with their server`(status: Int) async throws {
    let other = try ScriptedBackend.start { _ in .events(["[DONE]"]) }
    defer { other.stop() }
    let first = try ScriptedBackend.start { request in
      let to = request.path == "/a/b" ? "c?x=1" : "\(other.url)/there"
      let head = Script.Head(status: status, framing: .length(0), fields: [.init("Location", to)])
      return Script([.head(head), .end])
    }
    defer { first.stop() }
    let stream = FermataClient().stream(try request("\(first.url)/a/b", "POST", body: "{}"))
    #expect(try await text(of: stream) == ["[DONE]"])
    let keeps = status >= 307
    #expect(first.requests.map(\.target) == ["/a/b", "/a/c?x=1"])
    #expect(other.requests.map(\.method) == [keeps ? "POST" : "GET"])
    #expect(other.requests.first?.body == Array((keeps ? "{}" : "").utf8))
    #expect(first.requests.allSatisfy { $0.head.value("Authorization") == "Bearer secret" })
    #expect(other.requests.first?.head.value("Authorization") == nil)
  }

  @Test func `redirects in a circle end`() async throws {
    let backend = try ScriptedBackend.start { _ in
      Script([.head(Script.Head(status: 302, framing: .length(0), fields: [.init("Location", "/again")])), .end])
    }
    defer { backend.stop() }
    let stream = FermataClient().stream(try request(backend.url))
    await #expect(throws: FermataError.self) { try await text(of: stream) }
    #expect(await stream.result.outcome == "no_stream" && backend.requests.count == 21)
  }

  @Test func `the time limits of URLSession end no stream`() {
    let configuration = URLSessionConfiguration.ephemeral
    configuration.timeoutIntervalForResource = 300
    _ = URLSessionTransport(configuration: configuration)
    #expect(configuration.timeoutIntervalForResource == 604_800)
    #expect(configuration.timeoutIntervalForRequest == 604_800)
  }

  @Test(arguments: ["", "ftp://127.0.0.1/", "/relative"])
  func `an address that is none is told at once`(address: String) async throws {
    var request = URLRequest(url: URL(fileURLWithPath: "/"))
    request.url = URL(string: address)
    let stream = FermataClient().stream(request)
    let begun = ContinuousClock.now
    await #expect(throws: FermataError.self) { try await text(of: stream) }
    #expect(await stream.result.outcome == "no_stream" && ContinuousClock.now - begun < .seconds(1))
  }

  @Test func `a consumer that is too slow for what comes is told, and what is held is bounded`() async throws {
    let event = Script.Step.body("data: " + String(repeating: "x", count: 1 << 20) + "\n\n")
    let backend = try ScriptedBackend.start { _ in
      Script([.head(), .repeated(count: 64, interval: .milliseconds(1), [event]), .end])
    }
    defer { backend.stop() }
    var options = StreamOptions()
    options.resume = .off
    let stream = FermataClient().stream(try request(backend.url), options)
    var iterator = stream.makeAsyncIterator()
    _ = try await iterator.next()
    #expect(await eventually { backend.openRequests == 0 }, "the client leaves at its limit")
    var taken = 1
    let error = await #expect(throws: FermataError.self) { while try await iterator.next() != nil { taken += 1 } }
    #expect(error?.code == "consumer_too_slow" && error?.isRetryable == true)
    #expect(taken < 40, "\(taken) MiB")
  }

  @Test(arguments: ["GET", "POST"])
  func `a consumer that pauses has the rest in one answer, and nothing is sent twice`(method: String) async throws {
    let data = String(repeating: "x", count: 1 << 20)
    let backend = try ScriptedBackend.start { _ in
      Script([.head(), .repeated(count: 10, interval: .zero, [.body("data: \(data)\n\n")]), .end])
    }
    defer { backend.stop() }
    let stream = FermataClient().stream(try request(backend.url, method, body: method == "GET" ? nil : "{}"))
    var iterator = stream.makeAsyncIterator()
    _ = try await iterator.next()
    // All of it waits meanwhile, in the two budgets.
    try await Task.sleep(for: .milliseconds(700))
    var whole = 1
    while case .event(let event) = try await iterator.next() { whole += event.data == data ? 1 : 0 }
    #expect(whole == 10 && backend.requests.count == 1)
  }

  @Test func `a paused stream gives its connection up and goes on behind its last event`() async throws {
    let id = "K4iOEHrIqKEd8FsJcnNBlQ"
    let fields: [Script.Field] = [
      .init("Content-Type", "text/event-stream"), .init("X-Stream-Mode", "graceful"), .init("X-Stream-Id", id),
      .init("X-Stream-Resume", "/kept"),
    ]
    let backend = try ScriptedBackend.start { request in
      let first = Script([.head(.init(fields: fields)), .event(nil, "a", id: "\(id).1"), .stall])
      let end = #"{"type":"stream_end","outcome":"completed","events":2,"lastEventId":"\#(id).2"}"#
      let second = Script([
        .head(.init(fields: fields)), .event(nil, "b", id: "\(id).2"), .event("stream_end", end), .end,
      ])
      return request.number == 0 ? first : second
    }
    defer { backend.stop() }
    let stream = FermataClient().stream(try request(backend.url, "POST", body: "{}"))
    let task = Task { try await text(of: stream) }
    for _ in 0..<300 where await stream.eventsReceived == 0 { try await Task.sleep(for: .milliseconds(10)) }
    #expect(await stream.pause())
    #expect(await eventually { backend.openRequests == 0 })
    try await Task.sleep(for: .milliseconds(100))
    #expect(backend.requests.count == 1)
    await stream.resume()
    #expect(try await task.value == ["a", "b"])
    #expect(backend.requests.map(\.target) == ["/", "/kept"] && backend.requests.last?.method == "GET")
    #expect(backend.requests.last?.head.value("Last-Event-ID") == "\(id).1")
    #expect(await stream.result.isVerified)
  }

  @Test func `a DELETE that is never answered holds nobody up`() async throws {
    let fields: [Script.Field] = [
      .init("Content-Type", "text/event-stream"), .init("X-Stream-Mode", "graceful"), .init("X-Stream-Id", "x"),
    ]
    let backend = try ScriptedBackend.start { request in
      request.method == "DELETE" ? Script([.stall]) : Script([.head(.init(fields: fields)), .event(nil, "a"), .stall])
    }
    defer { backend.stop() }
    var options = StreamOptions()
    options.cancelWait = .milliseconds(200)
    let stream = FermataClient().stream(try request(backend.url), options)
    let task = Task { try await text(of: stream) }
    for _ in 0..<300 where await stream.eventsReceived == 0 { try await Task.sleep(for: .milliseconds(10)) }
    let cancelling = Task { await stream.cancelRun() }
    #expect(try await task.value == ["a"])
    #expect(await stream.result.outcome == "aborted")
    #expect(backend.requests.count { $0.method == "DELETE" } == 1)
    cancelling.cancel()
  }
}
