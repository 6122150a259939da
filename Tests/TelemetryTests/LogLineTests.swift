import Bytes
import Telemetry
import Testing
import Time

@Suite struct LogLineTests {
  let time = WallTime(milliseconds: 1_769_860_800_007)

  func value(_ bytes: [UInt8]) -> String {
    var line = LogLine(.info, "x", at: time)
    line.field("v", bytes.span)
    let text = String(copying: line.finish().span)
    let front = #"{"time":"2026-01-31T12:00:00.007Z","level":"info","event":"x","v":"#
    #expect(text.hasPrefix(front) && text.hasSuffix("}\n"))
    return String(text.dropFirst(front.count).dropLast(2))
  }

  @Test func `a line carries time, level, event and fields of every type`() {
    var line = LogLine(.warning, "request_done", at: time)
    line.field("id", "a\"b")
    line.field("events", 57)
    line.field("negative", Int64.min)
    line.field("ratio", 0.25)
    line.field("whole", 3.0)
    line.field("none", Double.nan)
    line.field("ok", true)
    line.field("missing", ifPresent: nil)
    line.field("present", ifPresent: "p")
    let golden =
      #"{"time":"2026-01-31T12:00:00.007Z","level":"warning","event":"request_done","id":"a\"b","events":57,"#
      + #""negative":-9223372036854775808,"ratio":0.25,"whole":3,"none":null,"ok":true,"present":"p"}"# + "\n"
    #expect(String(copying: line.finish().span) == golden)
  }

  @Test(
    arguments: [
      ([0x0A, 0x0D, 0x09, 0x00, 0x1F, 0x7F], #""\n\r\t\u0000\u001f\u007f""#),
      ([0x22, 0x5C, 0x2F], #""\"\\/""#),
      ([0xFF, 0x41], "\"\u{FFFD}A\""),
      ([0xC3, 0xA4], "\"ä\""),
      ([0xC3], "\"\u{FFFD}\""),
      ([0xC0, 0x80], "\"\u{FFFD}\u{FFFD}\""),
      ([0xED, 0xA0, 0x80], "\"\u{FFFD}\u{FFFD}\u{FFFD}\""),
      ([0xF0, 0x9F, 0x98, 0x80], "\"😀\""),
    ] as [([UInt8], String)])
  func `hostile bytes stay inside their string`(bytes: [UInt8], expected: String) {
    #expect(value(bytes) == expected)
  }

  @Test func `a long value is cut at the limit, between characters`() {
    let long = [UInt8](repeating: 0x61, count: LogLine.valueLimit - 1) + Array("😀bbbb".utf8)
    let text = value(long)
    #expect(text.hasSuffix("a😀…\""))
    #expect(text.utf8.count <= LogLine.valueLimit + 8)
  }

  @Test func `every byte value in every place of a line makes valid UTF-8 on one line`() {
    for byte in UInt8.min...UInt8.max {
      let text = value([0x61, byte, 0x62])
      #expect(!text.utf8.contains(0x0A) && !text.utf8.contains(0))
    }
  }

  @Test func `levels are ordered and found by name`() {
    #expect(LogLevel.debug < .info && .info < .warning && .warning < LogLevel.error)
    for level in LogLevel.allCases { #expect(LogLevel(name: "\(level)") == level) }
    #expect(LogLevel(name: "loud") == nil)
  }

  @Test(
    arguments: [
      (0, "1970-01-01T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.999Z"),
      (951_782_400_000, "2000-02-29T00:00:00.000Z"), (1_769_860_800_120, "2026-01-31T12:00:00.120Z"),
    ] as [(Int64, String)])
  func `timestamps are RFC 3339, as Time writes them`(milliseconds: Int64, expected: String) {
    var buffer = ByteBuffer()
    buffer.append(timestamp: WallTime(milliseconds: milliseconds))
    #expect(String(copying: buffer.span) == expected)
    #expect(WallTime(milliseconds: milliseconds).rfc3339 == expected)
  }
}
