import Harness
import TLS
import Testing
import Time

@Suite struct TailTests {
  /// Plays `script` for every request and follows it.
  private func tail(_ script: Script) throws -> Program.Answer {
    let backend = try ScriptedBackend.start { _ in script }
    defer { backend.stop() }
    return try Program.run("tail", "\(backend.url)/stream", "--json")
  }

  private func graceful(_ steps: [Script.Step]) -> Script {
    Script([.head(Script.gracefulHead(stream: "s"))] + steps)
  }

  @Test func `a stream of which everything came is completed`() throws {
    let answer = try tail(
      graceful([
        .comment("ok"), .event("token", "a\nb", id: "s.1"), .event(nil, "[DONE]", id: "s.2"),
        Script.streamEnd("completed", events: 2, last: "s.2"), .end,
      ]))
    #expect(answer.exit == 0)
    #expect(answer.lines.first == #"{"event":"token","id":"s.1","data":"a\nb"}"#)
    #expect(answer.lines.last?.contains(#""conclusion":"completed""#) == true)
  }

  @Test func `fewer events than stream_end counts are told as missing`() throws {
    let answer = try tail(
      graceful([.event("token", "a", id: "s.1"), Script.streamEnd("completed", events: 2, last: "s.2"), .end]))
    #expect(answer.exit == 5)
  }

  @Test func `an outcome other than completed has an exit status of its own, and the gateway's error is not counted`()
    throws
  {
    let answer = try tail(
      graceful([
        .event("token", "a", id: "s.1"),
        .event("error", #"{"type":"error","source":"gateway","error":{"type":"upstream_truncated"}}"#),
        Script.streamEnd("upstream_truncated", events: 1, last: "s.1"), .end,
      ]))
    #expect(answer.exit == 4)
  }

  @Test func `a clean end without stream_end can't be checked, a cut is missing something`() throws {
    let plain = Script.Head()
    #expect(try tail(Script([.head(plain), .event(nil, "a"), .end])).exit == 6)
    #expect(try tail(Script([.head(plain), .event(nil, "a"), .cut])).exit == 5)
  }

  @Test func `what is no event stream, or nothing at all, is no stream`() throws {
    #expect(try tail(.plain(Array("hello".utf8))).exit == 1)
    #expect(try tail(.plain(status: 404, Array("no".utf8))).exit == 1)
    #expect(try tail(.garbage("hello\r\n\r\n")).exit == 1)
  }

  /// The first answer is cut behind its second event; `second` answers the next request.
  private func resume(
    _ second: Script, isKept: Bool = true, arguments: [String] = []
  ) throws -> (Program.Answer, [RecordedRequest]) {
    let first = Script([
      .head(Script.gracefulHead(stream: "s", isKept: isKept)), .body("retry: 20\n"), .event("token", "a", id: "s.1"),
      .event("token", "b", id: "s.2"), .cut,
    ])
    let backend = try ScriptedBackend.start { $0.number == 0 ? first : second }
    defer { backend.stop() }
    return (try Program.run(["tail", "\(backend.url)/stream"] + arguments), backend.requests)
  }

  private let rest = Script([
    .head(Script.gracefulHead(stream: "s")), .event("token", "c", id: "s.3"),
    Script.streamEnd("completed", events: 3, last: "s.3"), .end,
  ])

  @Test func `a cut stream is resumed from the last id, once the server's retry is over`() throws {
    let (answer, requests) = try resume(rest)
    #expect(answer.exit == 0)
    #expect(answer.lines.prefix(3).map { $0.suffix(1) } == ["a", "b", "c"])
    #expect(requests.count == 2)
    #expect(requests.first?.head.value("Last-Event-ID") == nil)
    #expect(requests.last?.head.value("Last-Event-ID") == "s.2")
    #expect(requests.map(\.target) == ["/stream", "/kept/s"])
    #expect(requests.allSatisfy { $0.head.value("Prefer") == "stream-end" })
  }

  @Test func `a run that is finished at the last id is completed by 204`() throws {
    let finished = Script([.head(Script.Head(status: 204, framing: .length(0), fields: [])), .end])
    #expect(try resume(finished).0.exit == 0)
  }

  @Test func `a run that failed is not called completed by the 204 that says so`() throws {
    let fields = [Script.Field("X-Stream-Outcome", "upstream_error")]
    let failed = Script([.head(Script.Head(status: 204, framing: .length(0), fields: fields)), .end])
    #expect(try resume(failed).0.exit == 4)
  }

  @Test func `behind an id that is given the count goes on from its number`() throws {
    let stream = "K4iOEHrIqKEd8FsJcnNBlQ"
    let backend = try ScriptedBackend.start { _ in
      Script([
        .head(Script.gracefulHead(stream: stream)), .event("token", "d", id: "\(stream).4"),
        Script.streamEnd("completed", events: 4, last: "\(stream).4"), .end,
      ])
    }
    defer { backend.stop() }
    #expect(try Program.run("tail", backend.url, "-H", "Last-Event-ID: \(stream).3").exit == 0)
    #expect(backend.requests.first?.head.values("Last-Event-ID") == ["\(stream).3"])
    #expect(try Program.run("tail", backend.url, "-H", "Last-Event-ID: unknown").exit == 6)
  }

  @Test func `a server that begins another stream is left at once`() throws {
    let other = Script([.head(Script.gracefulHead(stream: "t")), .event("token", "a", id: "t.1"), .stall])
    let (answer, requests) = try resume(other)
    #expect(answer.exit == 5)
    #expect(answer.lines.count == 2)
    #expect(requests.count == 2)
  }

  @Test func `attempts are bounded`() throws {
    let (answer, requests) = try resume(.plain(status: 503, []))
    #expect(answer.exit == 5)
    #expect(requests.count == 6)
  }

  @Test func `without a right to ask twice nothing is asked twice`() throws {
    for (isKept, arguments) in [(true, ["--no-resume"]), (false, ["--data", "{}"]), (false, [])] {
      let (answer, requests) = try resume(rest, isKept: isKept, arguments: arguments)
      #expect(answer.exit == 5)
      #expect(requests.count == 1)
    }
  }

  @Test func `a POST whose run is kept is resumed with GET, without its body`() throws {
    let (answer, requests) = try resume(rest, arguments: ["--data", "{}"])
    #expect(answer.exit == 0)
    #expect(requests.map(\.method) == ["POST", "GET"] && requests.last?.target == "/kept/s")
    #expect(requests.last?.body.isEmpty == true && requests.last?.head.value("Content-Length") == nil)
  }

  @Test func `a stream that is not kept is resumed by the same request if the ids are the backend's own`() throws {
    let backend = try ScriptedBackend.start { request in
      let isFirst = request.number == 0
      return Script([
        .head(Script.gracefulHead(stream: isFirst ? "s" : "t", isKept: false)), .body("retry: 20\n"),
        .event("token", isFirst ? "a" : "b", id: isFirst ? "own-1" : "own-2"),
        isFirst ? .cut : Script.streamEnd("completed", events: 1, last: "own-2"), .end,
      ])
    }
    defer { backend.stop() }
    let answer = try Program.run("tail", "\(backend.url)/stream")
    #expect(answer.exit == 0 && answer.lines.prefix(2).map { $0.suffix(1) } == ["a", "b"])
    #expect(backend.requests.map(\.target) == ["/stream", "/stream"])
    #expect(backend.requests.last?.head.value("Last-Event-ID") == "own-1")
  }

  @Test func `the gateway's own events are not counted, the backend's of the same types are`() throws {
    let ready = #"{"type":"prompt_ready","source":"gateway","name":"prompt_ready","streamId":"s"}"#
    let answer = try tail(
      graceful([
        .event("control", ready), .event("control", #"{"type":"prompt_ready"}"#, id: "s.1"),
        // As a gateway behind the gateway says it.
        .event("control", ready.replacing("\"s\"", with: "\"inner\""), id: "s.2"),
        .event("token", #"{"source":"gateway"}"#, id: "s.3"),
        Script.streamEnd("completed", events: 3, last: "s.3"), .end,
      ]))
    #expect(answer.exit == 0, "\(answer.lines)")
  }

  @Test func `a server that drains again and again is left after five attempts without a new event`() throws {
    let backend = try ScriptedBackend.start { request in
      let event: [Script.Step] = request.number == 0 ? [.event("token", "a", id: "s.1")] : []
      return Script(
        [.head(Script.gracefulHead(stream: "s")), .body("retry: 10\n")] + event
          + [Script.streamEnd("draining", events: 1, last: "s.1", resumable: true), .end])
    }
    defer { backend.stop() }
    let answer = try Program.run("tail", "\(backend.url)/stream")
    #expect(answer.exit == 5)
    #expect(backend.requests.count == 6)
  }

  @Test func `an event that comes again is neither counted nor a reason to begin the attempts anew`() throws {
    let backend = try ScriptedBackend.start { _ in
      Script([
        .head(Script.gracefulHead(stream: "s")), .body("retry: 10\n"), .event("token", "a", id: "s.1"), .cut,
      ])
    }
    defer { backend.stop() }
    let answer = try Program.run("tail", "\(backend.url)/stream")
    #expect(answer.exit == 5 && answer.lines.count == 1)
    #expect(backend.requests.count == 6)
  }

  @Test func `after a stream_reset the count begins anew`() throws {
    let again = Script([
      .head(Script.gracefulHead(stream: "s")),
      .event("stream_reset", #"{"type":"stream_reset","source":"gateway","streamId":"s","reason":"evicted"}"#),
      .event("token", "a", id: "s.1"), .event("token", "b", id: "s.2"),
      Script.streamEnd("completed", events: 2, last: "s.2"), .end,
    ])
    let (answer, _) = try resume(again)
    #expect(answer.exit == 0 && answer.lines.count == 6)
  }

  @Test func `headers are sent as given and what can't be sent is refused`() throws {
    let backend = try ScriptedBackend.start { _ in .plain([]) }
    defer { backend.stop() }
    _ = try Program.run("tail", backend.url + "/a?b=c#d", "-H", "X-Key: v", "-H", "accept: */*", "--data", "{}")
    let request = backend.requests.first
    #expect(request?.target == "/a?b=c")
    #expect(request?.method == "POST")
    #expect(request?.head.value("X-Key") == "v")
    #expect(request?.head.values("Accept") == ["*/*"])
    #expect(request?.body == Array("{}".utf8))
    #expect(try Program.run("tail", backend.url, "-H", "no colon").exit == 2)
    #expect(try Program.run("tail", backend.url, "-H", "Content-Length: 7").exit == 2)
    for url in ["ftp://example.com/", "localhost:8080", "http://a b/", "http://example.com/ä"] {
      #expect(try Program.run("tail", url).exit == 2)
    }
  }

  @Test func `a stream over https is followed when its server can be trusted`() throws {
    let certificates = try TestCertificates()
    defer { certificates.remove() }
    let backend = try ScriptedBackend.start(tls: TLSServerSettings(identity: try certificates.identity())) { _ in rest }
    defer { backend.stop() }
    let trusting = try Program.run("tail", "\(backend.url)/stream", "--roots", certificates.roots, "--json")
    #expect(trusting.exit == 5 && trusting.text.contains("\"id\":\"s.3\""))
    #expect(try Program.run("tail", "\(backend.url)/stream").exit == 1)
    #expect(try Program.run("tail", backend.url, "--roots", "/nowhere.pem").exit == 2)
    #expect(backend.requests.count == 1)
  }
}
