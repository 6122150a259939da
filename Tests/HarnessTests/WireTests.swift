import Harness
import Testing

@Suite struct WireTests {
  @Test func `a head is read when its blank line has come`() throws {
    let bytes = Array("HTTP/1.1 200 Fine OK\r\nA: 1\r\na:  2\r\n\r\nbody".utf8)
    #expect(WireHead.parse(Array(bytes[..<(bytes.count - 5)])) == nil)
    let (head, length) = try #require(WireHead.parse(bytes))
    #expect(length == bytes.count - 4)
    #expect(head.status == 200 && head.words == ["HTTP/1.1", "200", "Fine OK"])
    #expect(head.value("A") == "1" && head.values("a") == ["1", "2"] && head.value("b") == nil)
    #expect(WireHead.parse(Array("x".utf8)) == nil)
    #expect(WireHead.parse(Array("nonsense\r\n\r\n".utf8))?.head.status == 0)
  }

  static let chunked = "5\r\nhello\r\n1;x=y\r\n \r\nA\r\n0123456789\r\n0\r\nT: v\r\n\r\n"

  @Test func `a chunked body is the same at every split`() {
    let all = Array(Self.chunked.utf8) + [0x58]
    for split in 0...all.count {
      var reader = WireBody(.chunked)
      var body: [UInt8] = []
      var taken = reader.take(all[..<split], into: &body)
      if taken == split { taken += reader.take(all[split...], into: &body) }
      #expect(String(decoding: body, as: UTF8.self) == "hello 0123456789")
      #expect(reader.state == .complete && taken == all.count - 1)
    }
  }

  @Test func `a chunked body is not complete before its last byte`() {
    let all = Array(Self.chunked.utf8)
    for length in 0..<all.count {
      var reader = WireBody(.chunked)
      var body: [UInt8] = []
      #expect(reader.take(all[..<length], into: &body) == length)
      #expect(reader.state == .open && !reader.mayEndByClose)
    }
  }

  @Test(arguments: ["x\r\n", "5\n", "-1\r\n", "2\r\nabc\r\n", "\r\n", " 5\r\n"])
  func `broken chunks are told`(text: String) {
    var reader = WireBody(.chunked)
    var body: [UInt8] = []
    _ = reader.take(Array(text.utf8)[...], into: &body)
    guard case .broken = reader.state else {
      Issue.record("\(text.debugDescription) was taken: \(reader.state)")
      return
    }
  }

  @Test func `a length is kept, and a body until the close has none`() {
    var (reader, body) = (WireBody(.length(3)), [UInt8]())
    #expect(reader.take(Array("ab".utf8)[...], into: &body) == 2 && reader.state == .open)
    #expect(reader.take(Array("cd".utf8)[...], into: &body) == 1 && reader.state == .complete)
    var open = WireBody(.untilClose)
    #expect(open.take(Array("xyz".utf8)[...], into: &body) == 3 && open.mayEndByClose && open.state == .open)
  }

  @Test func `events are dispatched as a browser does`() {
    let body =
      "\u{FEFF}: c\r\nevent: a\rdata: 1\ndata:2\n\nid: 7\ndata\n\n:x\n\nevent: lost\n\ndata:  two \r\n\r\ndata: cut\n"
    #expect(
      ReceivedEvent.all(in: Array(body.utf8)) == [
        ReceivedEvent(type: "a", data: "1\n2"), ReceivedEvent(data: "", id: "7"), ReceivedEvent(data: " two "),
      ])
  }
}
