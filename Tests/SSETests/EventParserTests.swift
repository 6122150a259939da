import EventSamples
import SSE
import Testing

struct EventParserTests {
  @Test(arguments: EventSamples.all)
  func `a stream is read as the standard says, whole, cut in two anywhere, and byte by byte`(_ stream: [UInt8]) {
    let expected = ReferenceStream(stream)
    for pieces in [[stream], EventSamples.singles(stream)] + EventSamples.cutsInTwo(stream) {
      let parsed = ParsedStream(pieces)
      #expect(parsed.events == expected.events, "\(pieces)")
      #expect(parsed.partial == expected.partial, "\(pieces)")
    }
  }

  @Test func `every cut in three pieces gives the same blocks`() {
    for stream in EventSamples.all where stream.count < 24 {
      let expected = ReferenceStream(stream).events
      for first in 0...stream.count {
        for second in first...stream.count {
          let pieces = [Array(stream[..<first]), Array(stream[first..<second]), Array(stream[second...])]
          #expect(ParsedStream(pieces).events == expected, "\(pieces)")
        }
      }
    }
  }

  @Test func `random streams in random pieces give the blocks of the standard`() {
    for seed in 0..<3000 {
      var random = SeededGenerator(seed: UInt64(seed))
      let stream = EventSamples.random(blocks: 1 + random.below(30), using: &random)
      let parsed = ParsedStream(EventSamples.pieces(stream, using: &random))
      let expected = ReferenceStream(stream)
      guard parsed.events == expected.events, parsed.partial == expected.partial else {
        Issue.record("seed \(seed)")
        return
      }
    }
  }

  @Test func `the blocks and the bytes between them make up the stream`() {
    for seed in 0..<2000 {
      var random = SeededGenerator(seed: UInt64(seed) + 1_000_000)
      let stream = EventSamples.random(blocks: 1 + random.below(30), using: &random)
      let parsed = ParsedStream(EventSamples.pieces(stream, using: &random))
      var rest = stream[...]
      if rest.starts(with: [0xEF, 0xBB, 0xBF]) { rest = rest.dropFirst(3) }
      for event in parsed.events {
        rest = rest.drop { $0 == 0x0A || $0 == 0x0D }
        #expect(rest.starts(with: event.block), "seed \(seed)")
        rest = rest.dropFirst(event.block.count)
      }
      #expect(Array(rest.drop { $0 == 0x0A || $0 == 0x0D }) == parsed.partial, "seed \(seed)")
    }
  }

  @Test(arguments: ["data: x\n\n", "data: x\r\n\r\n", "\u{FEFF}data: x\n\n", "\n", "", "data: x\n\n\n", ":\n\n"])
  func `a comment may be put in behind a whole block`(_ text: String) {
    for pieces in [[Array(text.utf8)], EventSamples.singles(Array(text.utf8))] {
      #expect(ParsedStream(pieces).isBetweenEvents)
    }
  }

  @Test(arguments: ["data: x\n", "data: x", "d", "data: a\n\nd", ":", ":\n", "\u{FEFF}d", "data: x\r\n\r", "\r"])
  func `a comment may not be put in where it would change what clients see`(_ text: String) {
    for pieces in [[Array(text.utf8)], EventSamples.singles(Array(text.utf8))] {
      #expect(!ParsedStream(pieces).isBetweenEvents)
    }
  }

  @Test func `no comment may be put into a byte order mark`() {
    #expect(!ParsedStream([[0xEF]]).isBetweenEvents)
    #expect(!ParsedStream([[0xEF, 0xBB]]).isBetweenEvents)
    #expect(ParsedStream([[0xEF, 0xBB, 0xBF]]).isBetweenEvents)
  }

  @Test func `comments that are arriving are no event`() {
    for text in [":", ":\n", ": a\r\n: b", ":ok\n"] {
      #expect(!ParsedStream([Array(text.utf8)]).isInsideEvent, "\(text)")
    }
    for text in ["d", "data: x\n", ":\nd", ":ok\nevent: a", "x: "] {
      #expect(ParsedStream([Array(text.utf8)]).isInsideEvent, "\(text)")
    }
  }

  @Test func `memory is given back with each block`() {
    let stream = Array("data: \(String(repeating: "x", count: 5000))\n\n".utf8)
    for pieces in EventSamples.cutsInTwo(stream) where !pieces[0].isEmpty && !pieces[1].isEmpty {
      #expect(ParsedStream(pieces + [[]]).idleMemory == 0)
    }
  }

  @Test func `an unterminated block is completed with what it lacks`() {
    for (text, block) in [
      ("data: x", "data: x\n\n"), ("data: x\n", "data: x\n\n"), ("data: x\r", "data: x\r\n\n"),
      ("data: x\r\n", "data: x\r\n\n"), ("event: done\ndata", "event: done\ndata\n\n"), (":", ":\n\n"),
    ] {
      for pieces in EventSamples.cutsInTwo(Array(text.utf8)) {
        let completed = ParsedStream(pieces).completed
        #expect(completed.map { String(decoding: $0.block, as: UTF8.self) } == block)
        #expect(completed == ReferenceStream(Array(block.utf8)).events.first)
      }
    }
  }

  @Test func `nothing is completed behind a whole block`() {
    for text in ["", "data: x\n\n", "data: x\r\n\r", "\n", "\u{FEFF}"] {
      for pieces in EventSamples.cutsInTwo(Array(text.utf8)) {
        #expect(ParsedStream(pieces).completed == nil, "\(pieces)")
      }
    }
  }
}
