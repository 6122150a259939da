import Bytes
import EventSamples
import SSE
import Streams
import Testing

/// What a graceful reader makes of ids that the backend gives itself.
struct BackendIDReaderTests {
  private func play(_ text: String, _ change: (inout GracefulExtras) -> Void) -> String {
    var extras = GracefulExtras()
    change(&extras)
    let reader = GracefulReader(
      stream: Play.stream, numbersEvents: true, retryMilliseconds: nil, extras: extras)
    return Play()(reader, [Array(text.utf8)], .clean).text
  }

  private func lastID(_ text: String) -> String? {
    text.firstMatch(of: #/"lastEventId":"([^"]*)"/#).map { String($0.1) }
  }

  @Test func `where nothing is kept, nothing is numbered once the backend has given an id`() {
    let backend = "id: checkpoint-7\ndata: a\n\ndata: b\n\n"
    let text = play(backend) { $0.yieldsToBackendIDs = true }
    #expect(text.hasPrefix(":ok\n\(backend)event: stream_end\n"))
    #expect(lastID(text) == "checkpoint-7")
  }

  @Test(arguments: ["id: x\ndata: b\n\n", "id: x\n\n", "id:\ndata: b\n\n"])
  func `events before the backend's first id have numbers, those after it have none`(first: String) {
    let text = play("data: a\n\n\(first)data: c\n\ndata: d\n\n") { $0.yieldsToBackendIDs = true }
    #expect(
      text.hasPrefix(":ok\nid: \(Play.streamText).1\ndata: a\n\n\(first)data: c\n\ndata: d\n\nevent: stream_end\n"))
    #expect(lastID(text) == (first.hasPrefix("id: x") ? "x" : ""))
  }

  @Test func `a client that comes with an id of the backend's keeps it until the backend gives another`() {
    func resumed(_ text: String) -> String {
      play(text) { extras in
        extras.yieldsToBackendIDs = true
        extras.resumedAfterID = Array("checkpoint-7".utf8)
      }
    }
    let text = resumed("data: b\n\n")
    #expect(text.hasPrefix(":ok\ndata: b\n\nevent: stream_end\n") && lastID(text) == "checkpoint-7")
    #expect(lastID(resumed("id: checkpoint-8\ndata: b\n\n")) == "checkpoint-8")
    #expect(lastID(resumed("")) == "checkpoint-7")
  }

  @Test func `a kept run is numbered on, and its end names the id that a client went on from`() {
    let text = play("id: a\ndata: a\n\ndata: b\n\n") { _ in }
    #expect(text.contains("id: \(Play.streamText).2\ndata: b\n") && lastID(text) == "\(Play.streamText).2")
    #expect(lastID(play("") { $0.resumedAfterID = Array("own-9".utf8) }) == "own-9")
    #expect(lastID(play("") { $0.resumedAfter = 9 }) == "\(Play.streamText).9")
    #expect(lastID(play("data: b\n\n") { $0.resumedAfterID = Array("own-9".utf8) }) == "\(Play.streamText).1")
  }
}
