import Testing

/// What the recorded scenes say on the wire.
struct WireScene: Sendable, CustomTestStringConvertible {
  /// Also the name of its recording.
  let name: String
  /// The variant that the flag gives everybody.
  var variant = "legacy"
  /// What the only route takes.
  var path = "/*"
  /// More settings of that route, in JSON5.
  var route = ""
  let steps: [WireTape.Step]

  var testDescription: String { name }

  static let all: [WireScene] = streams + endings + plain + refused + kept
}

extension WireScene {
  /// A client's request for an event stream.
  private static func ask(_ target: String = "/s", _ fields: String = "", version: String = "1.1") -> String {
    "GET \(target) HTTP/\(version)\r\nHost: example.com\r\nAccept: text/event-stream\r\n\(fields)\r\n"
  }

  private static let prefers = "Prefer: stream-end\r\n"
  private static let closes = "Connection: close\r\n"
  private static let streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Own: kept\r\n"
  private static let chunkedHead = streamHead + "Transfer-Encoding: chunked\r\n\r\n"

  private static func chunk(_ text: String) -> String {
    "\(String(text.utf8.count, radix: 16))\r\n\(text)\r\n"
  }

  private static let modes = [("legacy", ""), ("shield", ""), ("graceful", prefers)]

  /// The ways in which events come.
  private static let streams: [WireScene] = modes.flatMap { mode, prefer in
    [
      WireScene(
        name: "\(mode): events one by one, a completion event, a trailing one", variant: mode,
        steps: [
          .connects, .clientSends(ask("/s", prefer + closes)), .accepts, .backendGets(until: "\r\n\r\n"),
          .backendSends(chunkedHead), .clientGets(until: mode == "graceful" ? ":ok" : "\r\n\r\n"),
          .backendSends(chunk("id: a\ndata: 1\n\n")), .clientGets(until: "data: 1"),
          .backendSends(chunk("data: 2\r\ndata: more\r\n\r\n: comment\n\n\n")), .clientGets(until: "data: more"),
          .backendSends(chunk("event: complete\ndata: {}\n\n") + chunk("event: usage\ndata: 9\n\n") + "0\r\n\r\n"),
          .clientGetsTheRest,
        ]),
      WireScene(
        name: "\(mode): a stream to a client of HTTP 1.0", variant: mode,
        steps: [
          .connects, .clientSends(ask("/s", prefer, version: "1.0")), .accepts, .backendGets(until: "\r\n\r\n"),
          .backendSends(chunkedHead + chunk("data: 1\n\n") + "0\r\n\r\n"), .clientGetsTheRest,
        ]),
      WireScene(
        name: "\(mode): a byte order mark, and a last event without its blank line", variant: mode,
        steps: [
          .connects, .clientSends(ask("/s", prefer + closes)), .accepts, .backendGets(until: "\r\n\r\n"),
          .backendSends(chunkedHead + chunk("\u{FEFF}data: 1\n\ndata: half") + "0\r\n\r\n"), .clientGetsTheRest,
        ]),
      WireScene(
        name: "\(mode): two streams on one connection", variant: mode,
        steps: [
          .connects, .clientSends(ask("/s?n=1", prefer) + ask("/s?n=2", prefer + closes)), .accepts,
          .backendGets(until: "\r\n\r\n"), .backendSends(chunkedHead + chunk("data: 1\n\n") + "0\r\n\r\n"),
          .backendGets(until: "\r\n\r\n"), .backendSends(chunkedHead + chunk("data: 2\n\n") + "0\r\n\r\n"),
          .clientGetsTheRest,
        ]),
    ]
  }

  /// The ways in which a stream ends.
  private static let endings: [WireScene] = modes.flatMap { mode, prefer in
    let begin: [WireTape.Step] = [
      .connects, .clientSends(ask("/s", prefer)), .accepts, .backendGets(until: "\r\n\r\n"),
      .backendSends(chunkedHead + chunk("data: 1\n\ndata: ha")), .clientGets(until: "data: 1"),
    ]
    return [
      WireScene(
        name: "\(mode): the backend resets in an event", variant: mode,
        steps: begin + [.backendResets, .clientGetsTheRest]),
      WireScene(
        name: "\(mode): the backend ends without its last chunk", variant: mode,
        steps: begin + [.backendCloses, .clientGetsTheRest]),
      WireScene(
        name: "\(mode): the backend breaks its chunks", variant: mode,
        steps: begin + [.backendSends("zz\r\n"), .clientGetsTheRest]),
      WireScene(
        name: "\(mode): the backend says in the stream that it failed", variant: mode,
        steps: [
          .connects, .clientSends(ask("/s", prefer + closes)), .accepts, .backendGets(until: "\r\n\r\n"),
          .backendSends(
            chunkedHead + chunk("data: 1\n\nevent: error\ndata: {\"error\":{\"message\":\"x\"}}\n\n") + "0\r\n\r\n"),
          .clientGetsTheRest,
        ]),
    ]
  }

  /// Answers that are no event streams.
  private static let plain: [WireScene] = [
    relayed("an answer of a known length", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\nx-a: 2\r\n\r\nhello"),
    relayed(
      "a chunked answer with trailers",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"),
    relayed(
      "hints, then a redirect",
      "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"),
    relayed("no content", "HTTP/1.1 204 No Content\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n"),
    relayed("not modified", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 9\r\n\r\n"),
    relayed("an answer of HTTP 1.0", "HTTP/1.0 200 Fine\r\nX-A: 1\r\n\r\nhello", ends: true),
    relayed("an answer to HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", method: "HEAD"),
    WireScene(
      name: "plain: a body that the client announces",
      steps: [
        .connects,
        .clientSends(
          "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"),
        .accepts, .clientGets(until: "100 Continue\r\n\r\n"), .clientSends("body"), .backendGets(until: "body"),
        .backendSends("HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok"), .clientGetsTheRest,
      ]),
    WireScene(
      name: "plain: a chunked body",
      steps: [
        .connects,
        .clientSends(
          "PUT /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n4\r\nbody\r\n0\r\n\r\n"),
        .accepts, .backendGets(until: "0\r\n\r\n"), .backendSends("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        .clientGetsTheRest,
      ]),
    WireScene(
      name: "plain: two requests in one packet, on two kept connections",
      steps: [
        .connects,
        .clientSends("GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
        .accepts, .backendGets(until: "\r\n\r\n"), .backendSends("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1"),
        .backendGets(until: "\r\n\r\n"), .backendSends("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2"),
        .clientGetsTheRest,
      ]),
    WireScene(
      name: "plain: an answer that is cut",
      steps: [
        .connects, .clientSends("GET /1 HTTP/1.1\r\nHost: h\r\n\r\n"), .accepts, .backendGets(until: "\r\n\r\n"),
        .backendSends("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), .clientGets(until: "half"), .backendCloses,
        .clientGetsTheRest,
      ]),
  ]

  private static func relayed(
    _ name: String, _ answer: String, method: String = "GET", ends: Bool = false
  ) -> WireScene {
    WireScene(
      name: "plain: " + name,
      steps: [
        .connects,
        .clientSends(
          "\(method) /p?a=1&b HTTP/1.1\r\nHost: h\r\nX-Hop: 1\r\nConnection: close, X-Hop\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"
        ),
        .accepts, .backendGets(until: "\r\n\r\n"), .backendSends(answer),
      ] + (ends ? [.backendCloses] : []) + [.clientGetsTheRest])
  }

  /// What the gateway answers itself.
  private static let refused: [WireScene] = [
    own("a broken request", "GET /p HTTP/1.1\r\nHost: h\r\nX Y: 1\r\n\r\n"),
    own("a request without Host", "GET /p HTTP/1.1\r\n\r\n"),
    own("TRACE", "TRACE /p HTTP/1.1\r\nHost: h\r\n\r\n"),
    own(
      "a path that no route has", "GET /elsewhere HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
      path: "/only"),
    own(
      "a preflight",
      "OPTIONS /p HTTP/1.1\r\nHost: h\r\nOrigin: https://a.example\r\nConnection: close\r\nAccess-Control-Request-Method: GET\r\n\r\n",
      route: "cors: { origins: [\"https://a.example\"] }"),
    own(
      "a request that went through this gateway",
      "GET /p HTTP/1.1\r\nHost: h\r\nVia: 1.1 fermata\r\nConnection: close\r\n\r\n"),
    WireScene(
      name: "refused: the backend's answer is no HTTP",
      steps: [
        .connects, .clientSends("GET /1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"), .accepts,
        .backendGets(until: "\r\n\r\n"), .backendSends("SSH-2.0-x\r\n\r\n"), .clientGetsTheRest,
      ]),
    WireScene(
      name: "refused: a tier whose backend answers 500", route: "gate: \"firstEvent\"",
      steps: [
        .connects, .clientSends(ask("/s", closes)), .accepts, .backendGets(until: "\r\n\r\n"),
        .backendSends("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"), .clientGetsTheRest,
      ]),
  ]

  private static func own(_ name: String, _ request: String, path: String = "/*", route: String = "") -> WireScene {
    WireScene(
      name: "refused: " + name, path: path, route: route, steps: [.connects, .clientSends(request), .clientGetsTheRest])
  }

  /// Runs that are kept.
  private static let kept: [WireScene] = ["legacy", "graceful"].flatMap { mode in
    let prefer = (mode == "graceful" ? prefers : "") + "Authorization: Bearer me\r\n"
    let resume = prefer + closes + "Last-Event-ID: STREAM."
    return [
      WireScene(
        name: "kept, \(mode): read, resumed, resumed at the end, unknown, told of, cancelled", variant: mode,
        route: "runs: {}",
        steps: [
          .connects, .clientSends(ask("/s", prefer + closes)), .accepts, .backendGets(until: "\r\n\r\n"),
          .backendSends(chunkedHead + chunk("data: 1\n\n")), .clientGets(until: "data: 1"),
          .backendSends(chunk("data: 2\n\ndata: [DONE]\n\n") + "0\r\n\r\n"), .clientGetsTheRest,
          .connects, .clientSends(ask("/s", resume + "1\r\n")), .clientGetsTheRest,
          .connects, .clientSends(ask("/s", resume + "3\r\n")), .clientGetsTheRest,
          .connects, .clientSends(ask("/api/agents/stream/AAAAAAAAAAAAAAAAAAAAAA", prefer + closes)),
          .clientGetsTheRest,
          .connects, .clientSends(ask("/api/agents/stream/STREAM", prefer + closes)), .clientGetsTheRest,
          .connects,
          .clientSends("DELETE /api/agents/run/STREAM HTTP/1.1\r\nHost: h\r\n\(prefer)\(closes)\r\n"),
          .clientGetsTheRest,
        ])
    ]
  }
}
