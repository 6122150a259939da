import HTTP
import Testing

@Suite struct BodyDecoderTests {
  static let accepted: [(String, String)] = [
    ("0⏎⏎", ""),
    ("000000000000000⏎⏎", ""),
    ("5⏎hello⏎0⏎⏎", "hello"),
    ("5⏎hello⏎6⏎ world⏎0⏎⏎rest", "hello world"),
    ("000000000000005⏎hello⏎0⏎⏎", "hello"),
    ("a⏎0123456789⏎A⏎0123456789⏎0⏎⏎", "01234567890123456789"),
    ("1⏎\r⏎2⏎⏎⏎0⏎⏎", "\r\r\n"),
    ("3;x⏎abc⏎0;y=z⏎⏎", "abc"),
    ("3;x=\"a;b \\\" c\";y⏎abc⏎0⏎⏎", "abc"),
    ("3; x = y\t⏎abc⏎0⏎⏎", "abc"),
    ("3⏎abc⏎0⏎X: y⏎Checksum:  z ⏎⏎", "abc"),
    ("1⏎a⏎1⏎b⏎1⏎c⏎1⏎d⏎0⏎⏎", "abcd"),
  ]

  static let refused: [(String, HTTP1Fault)] = [
    ("⏎", .malformedChunkSize),
    ("5 garbage⏎hello⏎", .malformedChunkSize),
    ("5 ⏎hello⏎", .malformedChunkSize),
    ("5\t⏎hello⏎", .malformedChunkSize),
    ("5 ;x⏎hello⏎", .malformedChunkSize),
    (" 5⏎hello⏎", .malformedChunkSize),
    ("0x5⏎hello⏎", .malformedChunkSize),
    ("+5⏎hello⏎", .malformedChunkSize),
    ("-5⏎hello⏎", .malformedChunkSize),
    ("5h⏎hello⏎", .malformedChunkSize),
    ("g⏎", .malformedChunkSize),
    (";x⏎", .malformedChunkSize),
    ("5,5⏎", .malformedChunkSize),
    ("5_0⏎", .malformedChunkSize),
    ("\05⏎", .malformedChunkSize),
    ("5\0⏎", .malformedChunkSize),
    ("5.⏎", .malformedChunkSize),
    ("½⏎", .malformedChunkSize),
    ("5\nhello⏎", .bareLineFeed),
    ("\n", .malformedChunkSize),
    ("5\rhello⏎", .bareCarriageReturn),
    ("5\r\r\nhello⏎", .bareCarriageReturn),
    ("5;x\nhello⏎", .bareLineFeed),
    ("5;x\ry⏎hello⏎", .bareCarriageReturn),
    ("5;x\0⏎hello⏎", .controlCharacter),
    ("5;\u{7f}⏎hello⏎", .controlCharacter),
    ("0000000000000005⏎hello⏎", .chunkTooLarge),
    ("1000000000000000⏎", .chunkTooLarge),
    ("ffffffffffffffff⏎", .chunkTooLarge),
    ("10000000000000005⏎hello⏎", .chunkTooLarge),
    ("0⏎\n", .bareLineFeed),
    ("0⏎\r\r\n", .bareCarriageReturn),
    ("0\n⏎", .bareLineFeed),
    ("0\n\n", .bareLineFeed),
    ("0⏎A : x⏎⏎", .whitespaceBeforeColon),
    ("0⏎A: x⏎ y⏎⏎", .obsoleteFolding),
    ("0⏎ A: x⏎⏎", .obsoleteFolding),
    ("0⏎A⏎⏎", .missingColon),
    ("0⏎A B: x⏎⏎", .invalidFieldName),
    ("0⏎A: x\ny: z⏎⏎", .bareLineFeed),
    ("0⏎A: \0⏎⏎", .controlCharacter),
    ("0⏎GET / HTTP/1.1⏎⏎", .invalidFieldName),
  ]

  /// Faults that come behind good bytes.
  static let refusedAfterPayload: [(String, HTTP1Fault)] = [
    ("5⏎hello\n", .malformedChunkEnd),
    ("5⏎hello!⏎", .malformedChunkEnd),
    ("5⏎hello\r\r", .malformedChunkEnd),
    ("5⏎hello\rx", .malformedChunkEnd),
    ("5⏎hello0⏎⏎", .malformedChunkEnd),
    ("5⏎hello⏎x⏎", .malformedChunkSize),
    ("5⏎hello⏎⏎", .malformedChunkSize),
    ("2⏎he⏎3⏎llo⏎ 0⏎⏎", .malformedChunkSize),
    ("5⏎hello⏎0⏎X Y: z⏎⏎", .invalidFieldName),
  ]

  @Test(arguments: accepted)
  func `a chunked body comes out the same however it is cut`(text: String, payload: String) {
    let input = wire(text)
    let whole = decodeBody(input, .chunked)
    #expect(whole.payload == Array(payload.utf8))
    #expect(whole.isComplete)
    #expect(whole.fault == nil)
    #expect(Array(input[whole.consumed...]) == (text.hasSuffix("rest") ? Array("rest".utf8) : []))
    #expect(decodeBody(input, .chunked, cuts: Array(1..<input.count)) == whole)
    for cut in 0..<input.count { #expect(decodeBody(input, .chunked, cuts: [cut]) == whole) }
    for length in 0..<whole.consumed {
      let part = decodeBody(Array(input.prefix(length)), .chunked)
      #expect(!part.isComplete && part.fault == nil && payload.utf8.starts(with: part.payload))
    }
  }

  @Test(arguments: refused)
  func `bad chunk framing is refused`(text: String, fault: HTTP1Fault) {
    let input = wire(text)
    #expect(decodeBody(input, .chunked).fault == .response(fault))
    #expect(decodeBody(input, .chunked, cuts: Array(1..<input.count)).fault == .response(fault))
    for cut in 1..<max(input.count, 2) {
      #expect(decodeBody(input, .chunked, cuts: [min(cut, input.count)]).fault == .response(fault))
    }
  }

  @Test(arguments: refusedAfterPayload)
  func `bytes that came before a fault are not lost`(text: String, fault: HTTP1Fault) {
    let input = wire(text)
    for cuts in [[], Array(1..<input.count)] {
      let result = decodeBody(input, .chunked, cuts: cuts)
      #expect(result.payload == Array("hello".utf8))
      #expect(result.fault == .response(fault))
    }
    var decoder = BodyDecoder(framing: .chunked, side: .request)
    var bytes = input
    var span = bytes.mutableSpan
    #expect(try! decoder.decode(&span).fault == .request(fault))
    #expect(throws: HTTP1Error.request(fault)) { try redecode(&decoder) }
    #expect(decoder.inputClosed() == .truncated)
  }

  private func redecode(_ decoder: inout BodyDecoder) throws(HTTP1Error) {
    var bytes = wire("0⏎⏎")
    var span = bytes.mutableSpan
    _ = try decoder.decode(&span)
  }

  @Test func `a single chunk is not moved`() throws {
    var bytes = wire("5⏎hello⏎")
    var decoder = BodyDecoder(framing: .chunked, side: .response)
    var span = bytes.mutableSpan
    let decoded = try decoder.decode(&span)
    #expect(decoded == DecodedBody(payload: 3..<8, consumedUpTo: 10, isComplete: false))
    #expect(bytes == wire("5⏎hello⏎"))
  }

  @Test func `a body of known length ends where it says`() throws {
    let input = wire("helloGET /")
    for cuts in [[], [3], [5], Array(1..<10)] {
      let result = decodeBody(input, .length(5), cuts: cuts)
      #expect(result.payload == Array("hello".utf8))
      #expect(result.isComplete)
      #expect(result.consumed == 5)
    }
    let part = decodeBody(Array(input.prefix(4)), .length(5))
    #expect(!part.isComplete && part.consumed == 4)
  }

  @Test func `a body may be over before it begins`() throws {
    for framing in [BodyFraming.none, .length(0)] {
      var decoder = BodyDecoder(framing: framing, side: .request)
      #expect(decoder.isComplete)
      #expect(decoder.inputClosed() == .complete)
      var bytes = wire("GET")
      var span = bytes.mutableSpan
      #expect(
        try decoder.decode(&span, from: 1)
          == DecodedBody(payload: 1..<1, consumedUpTo: 1, isComplete: true))
    }
  }

  @Test func `a cut is told from an end`() throws {
    func ending(_ framing: BodyFraming, after text: String) throws -> BodyDecoder.Ending {
      var decoder = BodyDecoder(framing: framing, side: .response)
      var bytes = wire(text)
      var span = bytes.mutableSpan
      _ = try decoder.decode(&span)
      return decoder.inputClosed()
    }
    #expect(try ending(.untilClose, after: "abc") == .complete)
    #expect(try ending(.length(4), after: "abc") == .truncated)
    #expect(try ending(.length(3), after: "abc") == .complete)
    for text in ["", "3", "3⏎", "3⏎ab", "3⏎abc", "3⏎abc⏎", "3⏎abc⏎0", "3⏎abc⏎0⏎", "0⏎\r", "0⏎X: y⏎"] {
      #expect(try ending(.chunked, after: text) == .truncated)
    }
    #expect(try ending(.chunked, after: "0⏎⏎") == .complete)
  }

  @Test func `trailers are there once the body is complete`() throws {
    var decoder = BodyDecoder(framing: .chunked, side: .response)
    var bytes = wire("1⏎a⏎0⏎X-Sum: 1⏎X-Sum: 2⏎⏎")
    var span = bytes.mutableSpan
    #expect(decoder.trailers == nil)
    #expect(try decoder.decode(&span).isComplete)
    #expect(decoder.trailers?.lines == ["X-Sum: 1", "X-Sum: 2"])
  }

  @Test func `extensions of all chunks together have a limit`() {
    let limits = HeadLimits(chunkExtensions: 10)
    let fitting = wire("1;12345⏎a⏎1;12345⏎b⏎0⏎⏎")
    #expect(decodeBody(fitting, .chunked, limits: limits).isComplete)
    let over = wire("1;12345⏎a⏎1;123456⏎b⏎0⏎⏎")
    let result = decodeBody(over, .chunked, limits: limits)
    #expect(result.fault == .response(.chunkExtensionsTooLarge))
    #expect(result.payload == Array("a".utf8))
  }

  @Test func `trailers have limits`() {
    let limits = HeadLimits(fields: 2, trailers: 20)
    #expect(decodeBody(wire("0⏎A: b⏎C: d⏎⏎"), .chunked, limits: limits).isComplete)
    #expect(decodeBody(wire("0⏎A:⏎B:⏎C:⏎⏎"), .chunked, limits: limits).fault == .response(.tooManyFields))
    let long = wire("0⏎A: \(String(repeating: "b", count: 30))")
    #expect(decodeBody(long, .chunked, limits: limits).fault == .response(.trailersTooLarge))
  }
}
