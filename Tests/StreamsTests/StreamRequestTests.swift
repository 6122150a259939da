import Bytes
import Streams
import Testing

struct StreamRequestTests {
  @Test(arguments: [
    (#"{"stream":true}"#, true),
    (#"{"model":"m","messages":[{"role":"user","content":"\"stream\": true"}],"stream" : true }"#, true),
    ("\n {\t\"stream\"\r\n:\ntrue}", true),
    (#"{"stream":false}"#, false),
    (#"{"options":{"stream":true}}"#, false),
    (#"{"a":"stream","b":true}"#, false),
    (#"[{"stream":true}]"#, false),
    (#"{"messages":["stream",true],"stream":true}"#, true),
    (#"stream=true"#, false),
    (#"{"stream":"#, false),
    (#"{"stream"#, false),
    (#"{"x\"stream":true}"#, false),
    ("", false),
  ])
  func `a body asks for a stream with a top-level member and nothing else`(body: String, asks: Bool) {
    #expect(Array(body.utf8).withSpan { StreamRequest.asksForStream($0) } == asks)
  }
}

extension [UInt8] {
  fileprivate func withSpan<Result>(_ body: (Span<UInt8>) -> Result) -> Result { body(span) }
}
