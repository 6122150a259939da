import EventSamples
import SSE
import Streams
import Testing

/// What holds for every stream in every cut.
struct ReaderPropertyTests {
  private struct Sample {
    var seed: Int
    var stream: [UInt8]
    var pieces: [[UInt8]]
    var end: UpstreamEnd
  }

  private func forEachSample(_ count: Int, from first: Int, _ body: (Sample) -> Void) {
    for seed in first..<first + count {
      var random = SeededGenerator(seed: UInt64(seed))
      let stream = EventSamples.random(blocks: 1 + random.below(20), using: &random)
      let pieces = EventSamples.pieces(stream, using: &random)
      body(Sample(seed: seed, stream: stream, pieces: pieces, end: random.chance(70) ? .clean : .cut(.reset)))
    }
  }

  /// What clients see of a backend's stream; with a clean end an event without its blank line counts.
  private func seen(_ sample: Sample) -> [EventSourceClient.Message] {
    EventSourceClient.messages(in: sample.stream + (sample.end == .clean ? Array("\n\n".utf8) : []))
  }

  @Test func `legacy changes no byte and no end`() {
    forEachSample(2000, from: 0) { sample in
      let result = Play(eventLimit: 16 + sample.seed % 200)(.legacy, sample.pieces, sample.end)
      #expect(result.body == sample.stream, "seed \(sample.seed)")
      #expect((result.end == .complete) == (sample.end == .clean), "seed \(sample.seed)")
    }
  }

  @Test func `graceful loses no event, keeps their order, and ends in stream_end`() {
    forEachSample(1500, from: 10_000) { sample in
      let result = Play(retryMilliseconds: 1000)(.graceful, sample.pieces, sample.end)
      var messages = EventSourceClient.messages(in: result.body)
      let expected = seen(sample)
      #expect(messages.last?.type == "stream_end", "seed \(sample.seed)")
      _ = messages.popLast()
      if sample.end != .clean {
        #expect(messages.last?.type == "error" && messages.last?.text.contains("\"gateway\"") == true)
        _ = messages.popLast()
      }
      #expect(messages.map(\.data) == expected.map(\.data), "seed \(sample.seed)")
      #expect(messages.map(\.type) == expected.map(\.type), "seed \(sample.seed)")
      #expect(result.events == UInt64(expected.count), "seed \(sample.seed)")
      #expect(result.end == .complete)
    }
  }

  @Test(arguments: Mode.allCases)
  func `what a client gets does not depend on the pieces`(_ mode: Mode) {
    forEachSample(500, from: 20_000) { sample in
      let whole = Play()(mode, [sample.stream], sample.end)
      let split = Play()(mode, sample.pieces, sample.end)
      #expect(whole.body == split.body, "seed \(sample.seed)")
      #expect(whole.eventBytes == split.eventBytes, "seed \(sample.seed)")
    }
  }

  @Test(arguments: Mode.allCases)
  func `mixed line ends give the same bytes at every cut`(_ mode: Mode) {
    for stream in EventSamples.lineEnds {
      let whole = Play()(mode, [stream])
      for pieces in EventSamples.cutsInTwo(stream) + [EventSamples.singles(stream)] {
        let split = Play()(mode, pieces)
        #expect(whole.body == split.body, "\(pieces)")
        #expect(whole.eventBytes == split.eventBytes, "\(pieces)")
      }
    }
  }

  @Test func `shield sends every byte, in another order alone`() {
    for stream in EventSamples.lineEnds {
      for pieces in EventSamples.cutsInTwo(stream) {
        let body = Play()(.shield, pieces, .cut(.reset)).body
        // A byte order mark is no part of the text.
        let text = stream.starts(with: [0xEF, 0xBB, 0xBF]) ? Array(stream.dropFirst(3)) : stream
        #expect(body.sorted() == text.sorted(), "\(pieces)")
      }
    }
  }

  @Test(arguments: Mode.allCases)
  func `a comment between the CR and the LF of a line end makes no blank line`(_ mode: Mode) {
    let pieces = ["data: 1\r\n\r", "\ndata: 2\r\n\r", "\n"].map { Array($0.utf8) }
    let result = Play(numbersEvents: false, keepsAlive: true)(mode, pieces, .clean)
    let lines = EventSourceClient.lines(of: result.body)
    #expect(lines.filter(\.isEmpty).count == (mode == .graceful ? 3 : 2), "\(result.text)")
  }

  @Test func `graceful gives no event two ids and numbers those without one from 1`() {
    forEachSample(500, from: 30_000) { sample in
      let result = Play()(.graceful, sample.pieces, sample.end)
      var (ids, number): (Int, UInt64) = (0, 0)
      for line in EventSourceClient.lines(of: result.body) {
        if line.isEmpty { ids = 0 }
        guard line.starts(with: Array("id: \(Play.streamText).".utf8)) else { continue }
        ids += 1
        #expect(ids == 1, "seed \(sample.seed)")
        let text = Array(line[4...])
        let id = EventID(parsing: text.span)
        #expect(id?.stream == Play.stream && id.map { $0.sequence > number && $0.sequence <= result.events } == true)
        number = id?.sequence ?? number
      }
    }
  }

  @Test func `graceful puts no blank line where the backend had none`() {
    forEachSample(500, from: 40_000) { sample in
      let before = EventSourceClient.emptyDispatches(in: sample.stream + Array("\n\n".utf8))
      let result = Play(numbersEvents: false)(.graceful, sample.pieces, sample.end)
      #expect(EventSourceClient.emptyDispatches(in: result.body) <= before, "seed \(sample.seed)")
      let lines = EventSourceClient.lines(of: result.body)
      #expect(!zip(lines, lines.dropFirst()).contains { $0.isEmpty && $1.isEmpty }, "seed \(sample.seed)")
    }
  }

  @Test func `shield sends every block, what ends the stream last`() {
    forEachSample(1500, from: 50_000) { sample in
      let recorder = RecordingReader()
      _ = Play()(recorder, sample.pieces, sample.end)
      let result = Play()(.shield, sample.pieces, sample.end)
      let running = recorder.blocks.filter { !$0.mark.contains(.terminal) }.flatMap(\.block)
      let ending = recorder.blocks.filter { $0.mark.contains(.terminal) }.flatMap(\.block)
      #expect(result.body.starts(with: running + ending), "seed \(sample.seed)")
      if sample.end == .clean { #expect(result.body.count == running.count + ending.count, "seed \(sample.seed)") }
      #expect((result.end == .complete) == (sample.end == .clean))
    }
  }

  @Test func `shield with a small limit loses nothing and holds no more`() {
    forEachSample(1500, from: 60_000) { sample in
      let result = Play(eventLimit: 16 + sample.seed % 300, shieldLimit: sample.seed % 120)(
        .shield, sample.pieces, sample.end)
      let sent = EventSourceClient.messages(in: result.body)
      let expected = seen(sample)
      // Where an event was too large the client has the old behaviour: the end as the backend left it.
      let whole = EventSourceClient.messages(in: sample.stream)
      let counts = [expected.count, whole.count]
      #expect(counts.contains(sent.count), "seed \(sample.seed)")
      #expect(Set(sent.map { [$0.type, $0.text] }).isSubset(of: Set(expected.map { [$0.type, $0.text] })))
    }
  }

  // Comments must not change what clients see.
  @Test(arguments: Mode.allCases)
  func `comments between events are seen by no client`(_ mode: Mode) {
    forEachSample(700, from: 80_000) { sample in
      // A mark that a comment went before is none any more.
      if sample.stream.first == 0xEF, sample.pieces.first?.isEmpty != false { return }
      let still = Play()(mode, sample.pieces, sample.end)
      let kept = Play(keepsAlive: true)(mode, sample.pieces, sample.end)
      #expect(
        EventSourceClient.messages(in: kept.body)
          == EventSourceClient.messages(in: still.body), "seed \(sample.seed)")
      #expect(
        EventSourceClient.emptyDispatches(in: kept.body) <= EventSourceClient.emptyDispatches(in: still.body),
        "seed \(sample.seed)")
    }
  }

  @Test func `a run counts the same in every mode`() {
    forEachSample(500, from: 70_000) { sample in
      let results = Mode.allCases.map { Play()($0, sample.pieces, sample.end) }
      for result in results.dropFirst() {
        #expect(result.events == results[0].events, "seed \(sample.seed)")
        #expect(result.eventBytes == results[0].eventBytes, "seed \(sample.seed)")
        #expect(result.outcome == results[0].outcome, "seed \(sample.seed)")
      }
    }
  }
}
