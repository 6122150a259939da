import EventSamples
import JSON
import SSE
import Streams
import Testing

/// Golden bytes of the three modes.
struct ReaderTests {
  private let answer = """
    data: {"t":"Hel"}\n
    : ping\n
    data: {"t":"lo"}\n
    event: done
    data: {}\n
    data: Task completed successfully\n
    data: [DONE]\n\n
    """

  @Test func `legacy is the backend's own`() {
    #expect(Play()(.legacy, answer).text == answer)
  }

  @Test func `graceful opens, numbers, drops the blank line of a comment, and ends`() {
    let id = Play.streamText
    #expect(
      Play(retryMilliseconds: 3000)(.graceful, answer).text == """
        :ok
        id: \(id).1
        retry: 3000
        data: {"t":"Hel"}

        : ping
        id: \(id).2
        data: {"t":"lo"}

        id: \(id).3
        event: done
        data: {}

        id: \(id).4
        data: Task completed successfully

        id: \(id).5
        data: [DONE]

        event: stream_end
        data: {"type":"stream_end","source":"gateway","streamId":"\(id)","runId":"\(id)","timestamp":"2026-01-31T12:00:00.000Z",\
        "outcome":"completed","reason":"why","events":5,"bytes":116,"lastEventId":"\(id).5","resumable":false,\
        "partialEvent":false,"message":"Stream ending"}\n\n
        """)
  }

  @Test func `shield sends what ends the stream last`() {
    #expect(
      Play()(.shield, answer).text == """
        data: {"t":"Hel"}

        : ping

        data: {"t":"lo"}

        data: Task completed successfully

        event: done
        data: {}

        data: [DONE]\n\n
        """)
  }

  @Test func `graceful without numbers adds nothing to an event`() {
    let text = Play(numbersEvents: false)(.graceful, "data: x\n\n").text
    #expect(text.hasPrefix(":ok\ndata: x\n\nevent: stream_end\n"))
    #expect(text.contains("\"lastEventId\":\"\""))
  }

  @Test func `a backend's own id is kept and told as the last one`() {
    let text = Play()(.graceful, "id: a-1\ndata: x\n\n").text
    #expect(text.hasPrefix(":ok\nid: a-1\ndata: x\n\nevent: stream_end\n"))
    #expect(text.contains("\"lastEventId\":\"a-1\""))
    // A block that only sets the id counts for clients, one that is broken does not.
    #expect(Play()(.graceful, "data: x\n\nid: b\n\n").text.contains("\"lastEventId\":\"b\""))
    #expect(Play()(.graceful, "data: x\n\nid: b\u{0}\n\n").text.contains("\"lastEventId\":\"\(Play.streamText).1\""))
    #expect(Play()(.graceful, "id: b\ndata: x\n\nid\n\n").text.contains("\"lastEventId\":\"\""))
    #expect(
      Play()(.graceful, "id: b\ndata: x\n\ndata: y\n\n").text.contains("\"lastEventId\":\"\(Play.streamText).2\""))
  }

  @Test func `the last id a client has seen is the one that stream_end tells`() {
    for seed in 0..<500 {
      var random = SeededGenerator(seed: UInt64(seed))
      // Invalid UTF-8 is told as U+FFFD, so only text is compared.
      let stream = EventSamples.random(blocks: 10, using: &random).filter { $0 < 0x80 }
      let body = Play()(.graceful, [stream]).body
      let end = EventSourceClient.messages(in: body).last
      let told = end.flatMap { try? StreamEndTests.object($0.text)["lastEventId"]?.string }
      #expect(told.map { Array($0.utf8) } == end?.lastEventID, "seed \(seed)")
    }
  }

  // The last event must not be lost for want of a blank line.
  @Test(arguments: ["data: x", "data: x\n", "data: x\n\n"])
  func `a clean end completes the last event`(_ text: String) {
    for pieces in EventSamples.cutsInTwo(Array(text.utf8)) {
      let graceful = Play()(.graceful, pieces)
      #expect(EventSourceClient.messages(in: graceful.body).map(\.type) == ["message", "stream_end"])
      #expect(graceful.text.contains("\"events\":1,\"bytes\":\(text.utf8.count),"))
      #expect(graceful.text.contains("\"partialEvent\":false"))
      #expect(Play()(.shield, pieces).text == "data: x\n\n")
      #expect(Play()(.legacy, pieces).text == text)
      #expect(Play()(.legacy, pieces).hadPartial == !text.hasSuffix("\n\n"))
      #expect(Play()(.legacy, pieces).events == 1)
    }
  }

  @Test func `a terminal that lacks its blank line completes the run`() {
    for text in ["data: [DONE]", "data: [DONE]\n", "event: done\ndata: {}", "event: message_stop\ndata: {}\n"] {
      for mode in Mode.allCases {
        let result = Play()(mode, "data: x\n\n" + text)
        #expect(result.outcome == .completed, "\(mode) \(text)")
        #expect(result.events == 2)
        #expect(result.end == .complete)
      }
      #expect(Play()(.graceful, "data: x\n\n" + text).text.contains("\"outcome\":\"completed\""))
    }
  }

  // A half event must not swallow the end of the stream.
  @Test func `a cut at any byte of an event loses that event alone and shows`() {
    let first = Array("data: first\n\n".utf8)
    let second = Array("event: status\r\nid: 9\r\ndata: {\"a\":1}\r\ndata: b\r\n\r\n".utf8)
    for cut in 0..<second.count - 1 {
      let stream = first + second[..<cut]
      for pieces in [[stream], EventSamples.singles(stream)] {
        let graceful = Play()(.graceful, pieces, .cut(.closedEarly))
        let messages = EventSourceClient.messages(in: graceful.body)
        // The event is whole from the CR of its blank line on.
        let isWhole = cut == second.count - 1
        #expect(messages.map(\.type) == ["message"] + (isWhole ? ["status"] : []) + ["error", "stream_end"])
        #expect(graceful.text.contains("\"partialEvent\":\(cut > 0)"), "\(cut)")
        #expect(graceful.text.contains("\"outcome\":\"upstream_truncated\""))
        #expect(graceful.end == .complete)
        for mode in [Mode.legacy, .shield] {
          let result = Play()(mode, pieces, .cut(.closedEarly))
          #expect(result.body == stream, "\(mode) \(cut)")
          #expect(result.end == .cut)
        }
      }
    }
  }

  @Test func `a cut shows what shield held, in its order, and the half event last`() {
    let result = Play()(.shield, "event: done\ndata: 1\n\ndata: 2\n\ndata: [DONE]\n\ndata: 3\n\ndata: 4", .cut(.reset))
    #expect(result.text == "data: 2\n\ndata: 3\n\nevent: done\ndata: 1\n\ndata: [DONE]\n\ndata: 4")
    #expect(result.end == .cut)
  }

  @Test func `shield that may hold no more sends on in the original order`() {
    let done = "event: done\ndata: 1\n\n"
    let result = Play(shieldLimit: 30)(.shield, "data: a\n\n\(done)data: b\n\n\(done)data: c\n\n\(done)data: d")
    #expect(result.text == "data: a\n\ndata: b\n\n\(done)\(done)data: c\n\n\(done)data: d\n\n")
  }

  // One event without an end must not grow without bound.
  @Test func `an event that is too large passes legacy and shield and ends graceful`() {
    let before = "data: a\n\nevent: done\ndata: b\n\n"
    let large = "data: " + String(repeating: "x", count: 300) + "\n\n"
    let after = "data: c\n\ndata: [DONE]\n\n"
    let stream = Array((before + large + after).utf8)
    for pieces in EventSamples.cutsInTwo(stream) + [EventSamples.singles(stream)] {
      let play = Play(eventLimit: 100)
      #expect(play(.legacy, pieces).body == stream)
      #expect(play(.legacy, pieces).events == 5)
      let shield = play(.shield, pieces)
      #expect(shield.text == before + large + after)
      #expect(shield.outcome == .completed)
      let graceful = play(.graceful, pieces)
      #expect(graceful.outcome == .eventTooLarge)
      let types = EventSourceClient.messages(in: graceful.body).map(\.type)
      #expect(types == ["message", "done", "error", "stream_end"])
      #expect(graceful.text.contains("\"partialEvent\":true"))
    }
  }

  @Test func `a large completion event still completes a legacy run`() {
    let large = "event: response.completed\ndata: {\"a\":\"\(String(repeating: "x", count: 5000))\"}\n\n"
    for pieces in EventSamples.cutsInTwo(Array(large.utf8)).prefix(300) {
      let result = Play(eventLimit: 256)(.legacy, pieces)
      #expect(result.outcome == .completed)
      #expect(result.eventBytes == UInt64(large.utf8.count))
    }
  }

  @Test func `a closing that was taken back still ends with stream_end, which says what comes next`() {
    let result = Play(recall: .announced)(.graceful, "data: a\n\nevent: done\ndata: b\n\n")
    #expect(result.text.contains("\"outcome\":\"completed\""))
    #expect(result.text.contains("\"closing\":\"legacy-from-now-on\""))
    #expect(result.end == .complete)
    let cut = Play(recall: .announced)(.graceful, "data: a\n\ndata: b", .cut(.reset))
    #expect(cut.text.contains("\"outcome\":\"upstream_truncated\"") && cut.end == .complete)
    #expect(!Play()(.graceful, "data: a\n\n").text.contains("closing"))
    for mode in [Mode.legacy, .shield] {
      #expect(Play(recall: .announced)(mode, "data: a\n\n").body == Play()(mode, "data: a\n\n").body)
    }
  }

  @Test func `a closing that was taken back hard means the old one, with the truth in the framing`() {
    let result = Play(recall: .hard)(.graceful, "data: a\n\ndata: b")
    #expect(EventSourceClient.messages(in: result.body).map(\.text) == ["a", "b"])
    #expect(!result.text.contains("stream_end"))
    #expect(result.end == .complete)
    let cut = Play(recall: .hard)(.graceful, "data: a\n\ndata: b", .cut(.reset))
    #expect(EventSourceClient.messages(in: cut.body).map(\.text) == ["a"])
    #expect(cut.end == .cut)
  }

  @Test func `an end that is not the backend's shows in the framing, or in stream_end`() {
    for outcome in Outcome.allCases where !outcome.isCleanEnd {
      let play = Play(outcome: outcome)
      #expect(play(.legacy, "data: a\n\ndata: b").text == "data: a\n\ndata: b")
      #expect(play(.legacy, "data: a\n\n").end == .cut)
      #expect(play(.shield, "event: done\ndata: a\n\n").end == .cut)
      #expect(play(.shield, "event: done\ndata: a\n\ndata: b\n\n").text == "data: b\n\nevent: done\ndata: a\n\n")
      let graceful = play(.graceful, "data: a\n\ndata: b")
      let types = EventSourceClient.messages(in: graceful.body).map(\.type)
      #expect(types == ["message"] + (outcome.isToldAsError ? ["error"] : []) + ["stream_end"])
      #expect(graceful.text.contains("\"outcome\":\"\(outcome.rawValue)\""))
      #expect(graceful.end == .complete)
    }
  }

  @Test func `verbatim pieces leave at once and events as soon as they are whole`() {
    let pieces = ["da", "ta: a\n", "\nda", "ta: b\n\nevent: done\ndata: c\n\n"].map { Array($0.utf8) }
    #expect(Play()(.legacy, pieces).bodyLengths == [2, 8, 11, 39])
    #expect(Play()(.shield, pieces).bodyLengths == [0, 0, 9, 18])
    #expect(Play(numbersEvents: false)(.graceful, pieces).bodyLengths == [4, 4, 13, 43])
  }
}
