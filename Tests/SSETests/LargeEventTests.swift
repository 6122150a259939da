import EventSamples
import SSE
import Testing

struct LargeEventTests {
  private let limit = 32

  @Test func `a block is too large from one byte above the limit, however it is cut`() {
    for length in limit - 3...limit + 3 {
      let stream = block(of: length)
      for pieces in [[stream], EventSamples.singles(stream)] + EventSamples.cutsInTwo(stream) {
        let parsed = ParsedStream(pieces, limit: limit)
        #expect(parsed.tooLarge.count == (length > limit ? 1 : 0), "\(length) \(pieces)")
        #expect(parsed.events.count == 1)
        #expect(parsed.lengths == [length])
        #expect(parsed.events[0].block == Array(stream.prefix(limit)))
        #expect(parsed.isBetweenEvents)
      }
    }
  }

  @Test func `what is told of a large block is all that came of it`() {
    let stream = block(of: 100)
    for pieces in EventSamples.cutsInTwo(stream) + [EventSamples.singles(stream)] {
      let parsed = ParsedStream(pieces, limit: limit)
      #expect(parsed.tooLarge.count == 1)
      #expect(stream.starts(with: parsed.tooLarge[0]) && parsed.tooLarge[0].count > limit)
    }
  }

  @Test func `the blocks around a large one are read as ever`() {
    let small = Array("event: done\ndata: y\n\n".utf8)
    let stream = small + block(of: 90) + small + block(of: 33) + small
    for pieces in EventSamples.cutsInTwo(stream) + [EventSamples.singles(stream)] {
      let parsed = ParsedStream(pieces, limit: limit)
      #expect(parsed.lengths == [21, 90, 21, 33, 21], "\(pieces)")
      #expect(parsed.tooLarge.count == 2)
      #expect(parsed.events.map { String(decoding: $0.type, as: UTF8.self) } == ["done", "", "done", "", "done"])
    }
  }

  @Test func `random streams with a small limit don't depend on their pieces`() {
    for seed in 0..<2000 {
      var random = SeededGenerator(seed: UInt64(seed))
      // Only LF: a CRLF at the end of a block may or may not count into its length.
      let stream = EventSamples.random(blocks: 20, using: &random).filter { $0 != 0x0D }
      let limit = 16 + random.below(60)
      let whole = ParsedStream([stream], limit: limit)
      let split = ParsedStream(EventSamples.pieces(stream, using: &random), limit: limit)
      #expect(whole.events == split.events, "seed \(seed)")
      #expect(whole.lengths == split.lengths, "seed \(seed)")
      #expect(whole.tooLarge.count == split.tooLarge.count, "seed \(seed)")
      #expect(whole.partial == split.partial, "seed \(seed)")
    }
  }

  @Test func `the fields of a large block are those of its beginning`() {
    let stream = Array("event: done\ndata: {\"type\":\"a\(String(repeating: "b", count: 90))\"}\n\n".utf8)
    let event = ParsedStream([stream], limit: 40).events[0]
    #expect(String(decoding: event.type, as: UTF8.self) == "done")
    #expect(String(decoding: event.data, as: UTF8.self) == "{\"type\":\"abbbbbbbbbbbb".prefix(22))
    // Half a type is another type, so it is none.
    let cutType = Array("data: x\nevent: doneeeeeeeeeeeeeeeeeeeeeeeeeeeee\n\n".utf8)
    #expect(ParsedStream([cutType], limit: 19).events[0].type.isEmpty)
    #expect(
      ParsedStream([Array("id: 123456789012345678901234567890\ndata: x\n\n".utf8)], limit: 18).events[0].id.isEmpty)
  }

  @Test func `a large block that breaks off is not completed`() {
    let parsed = ParsedStream([Array(block(of: 100).dropLast())], limit: limit)
    #expect(parsed.completed == nil)
    #expect(parsed.isInsideEvent)
    #expect(parsed.partial.count == limit)
  }

  @Test func `memory stays at the limit whatever comes`() {
    var parser = EventParser(limit: 4096)
    let piece = [UInt8](repeating: 0x61, count: 10_000)
    for _ in 0..<1000 {
      var offset = 0
      while true {
        if case .needsMore = parser.next(in: piece.span, at: &offset) { break }
      }
    }
    #expect(parser.partialLength == 10_000_000)
    #expect(parser.allocated <= 8192)
  }

  /// One event of `length` bytes.
  private func block(of length: Int) -> [UInt8] {
    Array(("data: " + String(repeating: "x", count: length - 8) + "\n\n").utf8)
  }
}
