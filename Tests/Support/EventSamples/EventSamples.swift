/// Event streams and the ways to cut them, for tests.
package enum EventSamples {
  /// Streams with something odd about each: endings, marks, comments, empty and broken lines, unterminated ends.
  package static let all: [[UInt8]] = texts.map { Array($0.utf8) } + bytes

  /// Streams that mix line ends in every way, with comments, marks and completion events among their blocks.
  package static let lineEnds: [[UInt8]] = {
    let ends = ["\n", "\r", "\r\n"]
    var streams: [[UInt8]] = []
    for first in ends {
      for blank in ends {
        for more in ["", "\n", "\r", "\r\n", "\n\r\n"] {
          for start in ["", "\u{FEFF}", "\r\n", "\u{FEFF}\r\n\n"] {
            let blocks = [": hi", "data: 1", "event: done\(first)data: 2", "id: 7", "data: é"]
            streams.append(Array((start + blocks.map { $0 + first + blank + more }.joined()).utf8))
          }
        }
      }
    }
    return streams
  }()

  private static let texts = [
    "data: x\n\n", "data: x\r\n\r\n", "data: x\r\r", "data: x\n\r\n", "data: x\r\n\n", "data: x\r\n\r", "data: x\n\r",
    "data: x\r\r\n", "data: a\n\ndata: b\n\n", "data: a\r\rdata: b\r\r", "data: a\r\n\r\ndata: b\r\n\r\n",
    "data: a\r\ndata: b\n\rdata: c\r\r\ndata: d\n\n", "\n\n\ndata: x\n\n\n\n", "\r\n\r\ndata: x\r\n\r\n\r\n\r\n",
    "\r\r\n\ndata: x\n\n", ":\n", ":\n\n", ": hello\n\n: again\r\rdata: x\n\n", ":ok\ndata: x\n\n", "data: x\n:\n\n",
    "event: done\ndata: {}\n\n", "data: {}\nevent: done\n\n", "event: a\nevent: b\ndata: 1\ndata: 2\n\n", "id: 7\n\n",
    "id\ndata\n\n", "id:\nevent:\ndata:\n\n", "data:x\ndata:  y\ndata:\tz\n\n", "retry: 10\n\n",
    "retry\n\ndatabase: 1\n\n",
    "datum: 1\nda: 2\nd\n\n", "eventual: 1\nidea: 2\nretrying: 3\n\n", " data: x\n\n", "Data: x\n\n", "data : x\n\n",
    "data: x", "data: x\n", "data: x\r", "data: x\r\n", "event: stream_end\n", "data: a\n\ndata: b", "data: a\n\n:",
    "", "\n", "\r", "\r\n", "x", "\u{FEFF}", "\u{FEFF}data: x\n\n", "\u{FEFF}\u{FEFF}data: x\n\n",
    "\u{FEFF}\n\ndata: x\n\n",
    "data: \u{FEFF}\n\n\u{FEFF}data: x\n\n", "data: \u{0}\n\n", "id: a\u{0}b\ndata: x\n\n", "\u{0}\n\n",
    "data: [DONE]\n\n", "data: é漢😀\n\n", "id: 1\nid: 2\ndata: x\nid: 3\n\n",
  ]

  /// Not UTF-8, and byte order marks that break off.
  private static let bytes: [[UInt8]] = [
    [0xEF], [0xEF, 0xBB], [0xEF, 0x0A, 0x0A], [0xEF, 0xBB, 0x0A, 0x0A], [0xEF, 0xBB, 0x64, 0x0D, 0x0D],
    [0xEF, 0xEF, 0xBB, 0xBF, 0x0A, 0x0A], Array("data: ".utf8) + [0xFF, 0xC0, 0x80, 0x0A, 0x0A],
  ]

  /// A stream of `count` blocks of all kinds, which may end in the middle of one.
  package static func random(blocks count: Int, using random: inout SeededGenerator) -> [UInt8] {
    var out: [UInt8] = random.chance(10) ? [0xEF, 0xBB, 0xBF] : []
    let endings = random.chance(50) ? ["\n"] : random.chance(50) ? ["\r\n"] : ["\n", "\r", "\r\n"]
    for _ in 0..<count {
      for _ in 0...random.below(4) {
        out += line(using: &random) + Array(random.pick(endings).utf8)
      }
      out += Array(random.pick(endings).utf8)
      if random.chance(5) { out += Array(random.pick(endings).utf8) }
    }
    if random.chance(30) { out.removeLast(random.below(min(out.count, 12) + 1)) }
    return out
  }

  private static func line(using random: inout SeededGenerator) -> [UInt8] {
    let name = random.pick(["data", "data", "data", "event", "id", "retry", "", "x", "dat", "events"])
    let colon = random.pick([":", ": ", ": ", ": ", ":  "])
    if random.chance(5) { return Array((name.isEmpty ? ":" : name).utf8) }
    let value: [UInt8]
    switch random.below(8) {
    case 0: value = Array(random.pick(["done", "complete", "error", "message", "[DONE]", "message_stop"]).utf8)
    case 1: value = Array(random.pick(payloads).utf8)
    case 2: value = (0..<random.below(20)).map { _ in UInt8(random.below(256)) }.filter { $0 != 0x0A && $0 != 0x0D }
    default: value = Array(String(repeating: "t", count: random.below(random.chance(10) ? 300 : 40)).utf8)
    }
    return Array((name + colon).utf8) + value
  }

  private static let payloads = [
    #"{"type":"done"}"#, #"{"type":"message_stop"}"#, #"{"error":{"message":"no"}}"#,
    #"{"type":"delta","t":"\"type\""}"#,
    #"{"choices":[{"delta":{"content":"tea"}}]}"#, #"{"type":"response.completed"}"#, #"{"type":"#,
  ]

  /// `bytes` cut in two at every place, the ends included.
  package static func cutsInTwo(_ bytes: [UInt8]) -> [[[UInt8]]] {
    (0...bytes.count).map { [Array(bytes[..<$0]), Array(bytes[$0...])] }
  }

  /// `bytes` one by one.
  package static func singles(_ bytes: [UInt8]) -> [[UInt8]] {
    bytes.map { [$0] }
  }

  /// `bytes` in pieces of random length, empty ones among them.
  package static func pieces(_ bytes: [UInt8], using random: inout SeededGenerator) -> [[UInt8]] {
    var pieces: [[UInt8]] = []
    let longest = random.pick([2, 5, 30, 200, 2000])
    var rest = bytes[...]
    while !rest.isEmpty {
      let length = min(rest.count, random.below(longest + 1))
      pieces.append(Array(rest.prefix(length)))
      rest = rest.dropFirst(length)
    }
    return pieces
  }
}
