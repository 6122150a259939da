import HTTP
import Testing

@Suite struct HeadLimitTests {
  let limits = HeadLimits(requestLine: 40, head: 120, fields: 4)

  /// The result in one piece, checked to be the same byte by byte and in two pieces.
  private func parse(_ text: String) -> Parsed<ParsedRequest> {
    let input = wire(text)
    let whole = parseRequest(input, limits: limits)
    #expect(parseRequest(input, cuts: Array(1..<input.count), limits: limits) == whole)
    for cut in 1..<input.count { #expect(parseRequest(input, cuts: [cut], limits: limits) == whole, "cut at \(cut)") }
    return whole
  }

  private func isAccepted(_ text: String) -> Bool {
    if case .head = parse(text) { true } else { false }
  }

  @Test func `the request line may be as long as its limit and no longer`() {
    let fitting = "GET /\(String(repeating: "a", count: 26)) HTTP/1.1"
    #expect(fitting.utf8.count == 40)
    #expect(isAccepted("\(fitting)⏎Host: a⏎⏎"))
    let over = "GET /\(String(repeating: "a", count: 27)) HTTP/1.1"
    #expect(parse("\(over)⏎Host: a⏎⏎") == .fault(.request(.requestLineTooLong)))
  }

  @Test func `an endless request line is refused before it ends`() {
    #expect(parse("GET /\(String(repeating: "a", count: 200))") == .fault(.request(.requestLineTooLong)))
  }

  @Test func `the head may be as large as its limit and no larger`() {
    // 16 of request line, 9 of Host, 5 of X and its CRLF, 2 of the end.
    let padding = 120 - 16 - 9 - 5 - 2
    #expect(isAccepted("GET / HTTP/1.1⏎Host: a⏎X: \(String(repeating: "b", count: padding))⏎⏎"))
    #expect(
      parse("GET / HTTP/1.1⏎Host: a⏎X: \(String(repeating: "b", count: padding + 1))⏎⏎")
        == .fault(.request(.headTooLarge)))
    #expect(
      parse("GET / HTTP/1.1⏎Host: a⏎X: \(String(repeating: "b", count: 300))") == .fault(.request(.headTooLarge)))
  }

  @Test func `there may be as many fields as the limit and no more`() {
    #expect(isAccepted("GET / HTTP/1.1⏎Host: a⏎A:⏎B:⏎C:⏎⏎"))
    #expect(parse("GET / HTTP/1.1⏎Host: a⏎A:⏎B:⏎C:⏎D:⏎⏎") == .fault(.request(.tooManyFields)))
  }

  @Test func `a field name has a limit of its own`() {
    let head = "GET / HTTP/1.1⏎Host: a⏎"
    let fitting = wire(head + String(repeating: "n", count: 1024) + ": x⏎⏎")
    guard case .head = parseRequest(fitting) else {
      Issue.record("refused")
      return
    }
    let over = wire(head + String(repeating: "n", count: 1025) + ": x⏎⏎")
    #expect(parseRequest(over) == .fault(.request(.fieldNameTooLong)))
  }

  @Test func `the defaults are the documented ones`() {
    let limits = HeadLimits()
    #expect(limits.requestLine == 16_384)
    #expect(limits.head == 65_536)
    #expect(limits.fields == 128)
    #expect(limits.trailers == 8_192)
    #expect(limits.chunkExtensions == 4_096)
    #expect(limits.informationalResponses == 8)
  }

  @Test func `a head of 64 KiB that comes byte by byte is read in linear time`() {
    let filler = (0..<100).map { "X-Field-\($0): \(String(repeating: "v", count: 600))⏎" }.joined()
    let input = wire("GET / HTTP/1.1⏎Host: a⏎\(filler)⏎")
    #expect(input.count > 60_000)
    let clock = ContinuousClock()
    let elapsed = clock.measure {
      guard case .head = parseRequest(input, cuts: Array(1..<input.count)) else {
        Issue.record("refused")
        return
      }
    }
    // Quadratic would be 2 billion steps; linear in an unoptimised build takes some milliseconds.
    #expect(elapsed < .seconds(2))
  }

  @Test func `a response head has the same limits`() {
    let input = wire("HTTP/1.1 200 \(String(repeating: "r", count: 200))⏎⏎")
    let expected = Parsed<ParsedResponse>.fault(.response(.headTooLarge))
    #expect(parseResponse(input, limits: limits) == expected)
    #expect(parseResponse(input, cuts: Array(1..<input.count), limits: limits) == expected)
  }
}
