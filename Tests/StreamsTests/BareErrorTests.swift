import Bytes
import Streams
import Testing

struct BareErrorTests {
  private let body = "{\"error\":{\"message\":\"overloaded\",\"code\":529}}"

  private func forms() -> [String] {
    [
      "data: a\n\n" + body, "data: a\n\n" + body + "\n", "data: a\n\n" + body + "\r\n\r\n", body,
      ": x\n\n" + body + "\n\n",
    ]
  }

  @Test func `a JSON error in the place of events is the backend's error`() {
    for dialect in Dialect.allCases {
      for text in forms() {
        for mode in Mode.allCases {
          let whole = Play(dialect: dialect)(mode, text)
          #expect(whole.outcome == .upstreamError, "\(text) in \(mode)")
          let single = Play(dialect: dialect)(mode, Array(text.utf8).map { [$0] })
          #expect(single.outcome == .upstreamError)
        }
      }
    }
  }

  @Test func `graceful tells what no client would have seen`() throws {
    for text in forms() {
      let result = Play()(.graceful, text)
      let error = try #require(
        result.text.firstRange(of: "event: error\ndata: {\"type\":\"error\",\"source\":\"gateway\""))
      let end = try #require(result.text.firstRange(of: "event: stream_end\n"))
      #expect(error.lowerBound < end.lowerBound && result.text.contains("\"outcome\":\"upstream_error\""))
    }
  }

  @Test func `an error that is an event is not told twice`() {
    let result = Play()(.graceful, "event: error\ndata: {\"error\":\"no\"}\n\n")
    #expect(result.outcome == .upstreamError && !result.text.contains("\"type\":\"error\",\"source\""))
  }

  @Test func `legacy does not change a byte of it`() {
    for text in forms() { #expect(Play()(.legacy, text).text == text) }
  }

  @Test func `what only looks like it is none`() {
    for text in [
      "data: [DONE]\n\n{\"error\":null}", "data: [DONE]\n\n{\"a\":{\"error\":1}}", "data: [DONE]\n\n{\"error\"",
      "data: [DONE]\n\n: {\"error\":1}\n\n", "data: [DONE]\n\nx: {\"error\":1}\n\n",
    ] {
      #expect(Play()(.graceful, text).outcome == .completed, "\(text)")
    }
    #expect(Play()(.graceful, "data: [DONE]\n\n" + body, .cut(.reset)).outcome == .upstreamTruncated)
  }
}
