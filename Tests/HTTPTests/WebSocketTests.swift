import Bytes
import HTTP
import Testing

/// How a WebSocket is opened, and where its frames end (RFC 6455).
@Suite struct `WebSocket` {
  private static let key = "dGhlIHNhbXBsZSBub25jZQ=="
  private static let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

  private static func request(
    _ change: [String: String?] = [:], line: String = "GET /chat HTTP/1.1", more: String = ""
  ) throws -> RequestHead {
    var fields: [(String, String)] = [
      ("Host", "server.example"), ("Connection", "keep-alive, Upgrade"), ("Upgrade", "websocket"),
      ("Sec-WebSocket-Key", key), ("Sec-WebSocket-Version", "13"),
    ]
    fields = fields.compactMap { name, value in
      guard let changed = change[name] else { return (name, value) }
      return changed.map { (name, $0) }
    }
    return try requestHead("\(line)\r\n" + fields.map { "\($0): \($1)\r\n" }.joined() + more + "\r\n")
  }

  private static func fault(_ request: RequestHead) -> WebSocketFault? {
    do throws(WebSocketFault) {
      _ = try WebSocketOpening(request)
      return nil
    } catch {
      return error
    }
  }

  @Test func `a request as the standard has it opens one`() throws {
    #expect(Self.fault(try Self.request()) == nil)
    #expect(Self.fault(try Self.request(["Upgrade": "WebSocket", "Connection": "upgrade"])) == nil)
    #expect(Self.fault(try Self.request(more: "Sec-WebSocket-Extensions: permessage-deflate\r\n")) == nil)
    #expect(Self.fault(try Self.request(more: "Content-Length: 0\r\n")) == nil)
    #expect(WebSocketOpening.isWanted(by: try Self.request()))
    #expect(WebSocketOpening.isWanted(by: try Self.request(["Upgrade": "h2c, websocket"])))
    #expect(!WebSocketOpening.isWanted(by: try Self.request(["Upgrade": "h2c"])))
    #expect(!WebSocketOpening.isWanted(by: try Self.request(["Upgrade": "websocket/13"])))
    #expect(!WebSocketOpening.isWanted(by: try Self.request(["Upgrade": nil])))
  }

  @Test func `any other is refused with what is wrong`() throws {
    let cases: [(RequestHead, WebSocketFault)] = [
      (try Self.request(line: "POST /chat HTTP/1.1"), .method),
      (try Self.request(line: "HEAD /chat HTTP/1.1"), .method),
      (try Self.request(line: "GET /chat HTTP/1.0"), .version),
      (try Self.request(more: "Content-Length: 3\r\n"), .body),
      (try Self.request(more: "Transfer-Encoding: chunked\r\n"), .body),
      (try Self.request(["Connection": nil]), .connection),
      (try Self.request(["Connection": "keep-alive"]), .connection),
      (try Self.request(["Upgrade": "websocket, h2c"]), .upgrade),
      (try Self.request(["Upgrade": "h2c, websocket"]), .upgrade),
      (try Self.request(more: "Upgrade: foo\r\n"), .upgrade), (try Self.request(["Upgrade": nil]), .upgrade),
      (try Self.request(["Sec-WebSocket-Key": nil]), .key), (try Self.request(["Sec-WebSocket-Key": ""]), .key),
      (try Self.request(["Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ="]), .key),
      (try Self.request(["Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==="]), .key),
      (try Self.request(["Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZR=="]), .key),
      (try Self.request(["Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25-ZQ=="]), .key),
      (try Self.request(more: "Sec-WebSocket-Key: \(Self.key)\r\n"), .key),
      (try Self.request(["Sec-WebSocket-Version": nil]), .protocolVersion),
      (try Self.request(["Sec-WebSocket-Version": "8"]), .protocolVersion),
      (try Self.request(["Sec-WebSocket-Version": "13, 8"]), .protocolVersion),
      (try Self.request(more: "Sec-WebSocket-Version: 13\r\n"), .protocolVersion),
    ]
    for (request, fault) in cases { #expect(Self.fault(request) == fault, "\(request.fields.lines)") }
  }

  @Test func `only the answer to this request opens it`() throws {
    let opening = try WebSocketOpening(try Self.request())
    func answer(
      _ status: Int = 101, _ connection: String? = "Upgrade", _ upgrade: String? = "websocket",
      _ accept: String? = WebSocket.accept, more: String = ""
    ) throws -> Bool {
      let fields = [("Connection", connection), ("Upgrade", upgrade), ("Sec-WebSocket-Accept", accept)]
        .compactMap { name, value in value.map { "\(name): \($0)\r\n" } }.joined()
      return opening.isAccepted(by: try responseHead("HTTP/1.1 \(status) X\r\n" + fields + more + "\r\n"))
    }
    #expect(try answer() && answer(101, "keep-alive, upgrade", "WebSocket"))
    #expect(try !answer(200) && !answer(101, nil) && !answer(101, "close") && !answer(101, "Upgrade", nil))
    #expect(try !answer(101, "Upgrade", "h2c") && !answer(101, "Upgrade", "websocket, h2c"))
    #expect(try !answer(101, "Upgrade", "websocket", nil) && !answer(101, "Upgrade", "websocket", ""))
    #expect(try !answer(101, "Upgrade", "websocket", "s3pPLMBiTxaQ9kYGzzhZRbK+xOO="))
    #expect(try !answer(more: "Upgrade: foo\r\n") && !answer(more: "Sec-WebSocket-Accept: \(Self.accept)\r\n"))
  }

  @Test func `pages of another host may open none, unless the route's policy lets them`() throws {
    func may(_ origin: String?, _ policy: CORSPolicy? = nil, isSecure: Bool = false) throws -> Bool {
      try Self.request(more: origin.map { "Origin: \($0)\r\n" } ?? "").mayOpenWebSocket(by: policy, isSecure: isSecure)
    }
    // What anybody on the way may have written is no page of a host that is reached over TLS.
    #expect(try may("HTTPS://server.example", isSecure: true) && may(nil, isSecure: true))
    #expect(try !may("http://server.example", isSecure: true))
    #expect(try may(nil) && may("https://server.example") && may("http://SERVER.example"))
    for origin in [
      "https://evil.example", "null", "https://server.example.evil", "https://server.example:8080", "server.example",
      "https:", "https:/", "", "https://server.example\r\nOrigin: https://server.example",
    ] {
      #expect(try !may(origin), "\(origin)")
    }
  }

  // MARK: - Frames

  private static func frame(_ first: UInt8, _ length: Int, masked: Bool) -> [UInt8] {
    let mask: UInt8 = masked ? 0x80 : 0
    var bytes = [first]
    if length < 126 {
      bytes.append(mask | UInt8(length))
    } else if length < 65536 {
      bytes += [mask | 126, UInt8(length >> 8), UInt8(length & 0xFF)]
    } else {
      bytes.append(mask | 127)
      bytes += (0..<8).map { UInt8(truncatingIfNeeded: length >> (56 - 8 * $0)) }
    }
    // What looks like frames in a payload is none.
    return bytes + [UInt8](repeating: 0x81, count: (masked ? 4 : 0) + length)
  }

  @Test func `the end of each frame is found, however the bytes are cut`() {
    let lengths = [0, 1, 125, 126, 127, 200, 65_535, 65_536, 70_000]
    for masked in [false, true] {
      var bytes: [UInt8] = []
      var ends: Set<Int> = [0]
      for (index, length) in lengths.enumerated() {
        bytes += Self.frame(index % 2 == 0 ? 0x81 : 0x02, length, masked: masked)
        ends.insert(bytes.count)
      }
      var boundary = WebSocketBoundary()
      #expect(boundary.isBetweenFrames)
      var wrong = 0
      for index in bytes.indices {
        boundary.take(bytes.span.extracting(index..<index + 1))
        if boundary.isBetweenFrames != ends.contains(index + 1) { wrong += 1 }
      }
      #expect(wrong == 0)
      for step in [2, 3, 7, 1000, 66_000] {
        var boundary = WebSocketBoundary()
        for start in stride(from: 0, to: bytes.count, by: step) {
          let end = min(start + step, bytes.count)
          boundary.take(bytes.span.extracting(start..<end))
          #expect(boundary.isBetweenFrames == ends.contains(end))
        }
      }
    }
  }

  @Test func `behind a close frame, and behind what is no frame, nothing may stand`() {
    for bytes in [
      Self.frame(0x88, 2, masked: false), Self.frame(0x88, 0, masked: false),
      [0x81, 127] + [UInt8](repeating: 0xFF, count: 9),
    ] {
      var boundary = WebSocketBoundary()
      boundary.take(bytes.span)
      #expect(!boundary.isBetweenFrames)
      boundary.take(Self.frame(0x81, 1, masked: false).span)
      #expect(!boundary.isBetweenFrames)
    }
    #expect(WebSocketBoundary.goingAway == [0x88, 2, 0x03, 0xE9])
  }
}
