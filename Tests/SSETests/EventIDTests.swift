import Bytes
import EventSamples
import SSE
import Testing

struct EventIDTests {
  private func streamID(_ text: String) -> StreamID? { StreamID(parsing: Array(text.utf8).span) }
  private func eventID(_ text: String) -> EventID? { EventID(parsing: Array(text.utf8).span) }

  @Test func `what is written is read back`() {
    var random = SeededGenerator(seed: 1)
    for high in [0, 1, .max, 1 << 63] + (0..<500).map({ _ in random.next() }) {
      let stream = StreamID(random: (high, random.next()))
      #expect(stream.description.utf8.count == 22)
      #expect(streamID(stream.description) == stream)
      let id = EventID(stream: stream, sequence: 1 + random.next() >> 2)
      #expect(eventID(id.description) == id)
      var out = ByteBuffer()
      id.write(to: &out)
      #expect(String(copying: out.span) == id.description)
    }
  }

  @Test func `all zeros and all ones are written as base64url says`() {
    #expect(StreamID(random: (0, 0)).description == String(repeating: "A", count: 22))
    #expect(StreamID(random: (.max, .max)).description == String(repeating: "_", count: 21) + "w")
    #expect(StreamID(random: (0x0001_0203_0405_0607, 0x0809_0A0B_0C0D_0E0F)).description == "AAECAwQFBgcICQoLDA0ODw")
  }

  @Test(arguments: [
    "", "A", "AAECAwQFBgcICQoLDA0OD", "AAECAwQFBgcICQoLDA0ODwA", "AAECAwQFBgcICQoLDA0OD+", "AAECAwQFBgcICQoLDA0ODx",
    "AAECAwQFBgcICQoLDA0OD=", " AECAwQFBgcICQoLDA0ODw", "AAECAwQFBgcIC/oLDA0ODw", "éAECAwQFBgcICQoLDA0O",
  ])
  func `other texts name no stream`(_ text: String) {
    #expect(streamID(text) == nil)
    #expect(eventID(text + ".1") == nil)
  }

  @Test(arguments: [
    "", ".", "1", ".0", ".00", ".01", ".-1", ".+1", ".1 ", ". 1", ".1.", ".1.1", ".1a", ".9223372036854775808",
    ".18446744073709551616", ".99999999999999999999999", "..1", ".\u{661}",
  ])
  func `other texts name no event`(_ rest: String) {
    #expect(eventID("AAECAwQFBgcICQoLDA0ODw" + rest) == nil)
  }

  @Test func `the greatest number is read`() {
    #expect(eventID("AAECAwQFBgcICQoLDA0ODw.9223372036854775807")?.sequence == UInt64(Int.max))
  }
}

struct EventWriterTests {
  private func written(_ write: (inout ByteBuffer) -> Void) -> String {
    var out = ByteBuffer()
    write(&out)
    return String(copying: out.span)
  }

  @Test func `what is put between events is no block`() {
    #expect(written { EventWriter.keepalive(to: &$0) } == ":\n")
    #expect(written { EventWriter.opening(to: &$0) } == ":ok\n")
  }

  @Test func `lines and events have their bytes`() {
    #expect(written { EventWriter.retryLine(milliseconds: 1500, to: &$0) } == "retry: 1500\n")
    #expect(
      written { EventWriter.event("control", type: "x", to: &$0) { $0.append(",\"a\":1") } }
        == "event: control\ndata: {\"type\":\"x\",\"source\":\"gateway\",\"a\":1}\n\n")
  }

  @Test func `each event gets the line with its number, in order or not`() {
    let stream = StreamID(random: (0x0001_0203_0405_0607, 0x0809_0A0B_0C0D_0E0F))
    var line = EventIDLine(stream: stream)
    func write(_ number: UInt64) -> Bool {
      var out = ByteBuffer()
      out.append("x")
      let length = line.write(number, to: &out)
      let text = "id: AAECAwQFBgcICQoLDA0ODw.\(number)\n"
      return String(copying: out.span) == "x" + text && length == text.utf8.count && length <= EventIDLine.longest
    }
    for number in 0...1200 { #expect(write(UInt64(number))) }
    let places: [UInt64] = [9, 99, 9_998, 9_999_998, 99_999_999, 1 << 32, UInt64.max - 3]
    for place in places {
      for number in place...place + 3 { #expect(write(number)) }
      #expect(write(place))
      #expect(write(place))
    }
    var random = SeededGenerator(seed: 1)
    for _ in 0..<1000 {
      let number = UInt64(random.below(1 << 30)) >> UInt64(random.below(30))
      #expect(write(number) && write(number + 1))
    }
  }
}
