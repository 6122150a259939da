import Bytes
import EventSamples
import SSE
import Streams
import Testing
import Time

/// What a client gets that reads from the log, beside what one gets that was there from the start.
struct LogDeliveryTests {
  private struct Sample {
    var seed: Int
    var stream: [UInt8]
    var pieces: [[UInt8]]
    var end: UpstreamEnd
  }

  private func samples(_ count: Int, from first: Int) -> [Sample] {
    (first..<first + count).map { seed in
      var random = SeededGenerator(seed: UInt64(seed))
      let stream = EventSamples.random(blocks: 1 + random.below(20), using: &random)
      let pieces = EventSamples.pieces(stream, using: &random)
      return Sample(seed: seed, stream: stream, pieces: pieces, end: random.chance(70) ? .clean : .cut(.reset))
    }
  }

  private func keep(_ sample: Sample) -> (MemoryLog, EndRecord) {
    let log = MemoryLog(of: Play.stream)
    let feed = EventFeed(id: Play.stream, classifier: EventClassifier(dialect: .auto), eventLimit: 1 << 20)
    var out = ByteBuffer()
    for piece in sample.pieces { _ = log.take(piece.span, of: feed, into: &out) }
    let outcome = log.takeRest(of: feed, sample.end)
    let end = EndRecord(
      outcome: outcome, reason: "why", events: feed.events, bytes: feed.eventBytes,
      upstreamIsComplete: sample.end == .clean)
    log.finish(end)
    #expect(log.breach == nil && out.isEmpty)
    return (log, end)
  }

  private func read(_ log: MemoryLog, _ end: EndRecord, _ mode: Mode) -> (body: [UInt8], end: BodyEnd) {
    var delivery = LogDelivery(to: Play().reader(mode))
    var out = ByteBuffer()
    if mode == .graceful { EventWriter.opening(to: &out) }
    let position = log.deliver(from: .beginning, to: &delivery, room: .max, into: &out) { $0.append($1) }
    #expect(position == log.frontier)
    let streamEnd = StreamEnd(
      stream: Play.stream, time: WallTime(milliseconds: 1_769_860_800_000), outcome: end.outcome, reason: end.reason)
    let ending = Ending(streamEnd: streamEnd, upstreamIsComplete: end.upstreamIsComplete, recall: .none)
    let bodyEnd = delivery.finish(ending, counts: end, into: &out)
    return (out.toArray(), bodyEnd)
  }

  @Test func `legacy gets every byte from the log, and the same end`() {
    for sample in samples(1000, from: 0) {
      let (log, end) = keep(sample)
      let result = read(log, end, .legacy)
      #expect(result.body == sample.stream, "seed \(sample.seed)")
      #expect((result.end == .complete) == (sample.end == .clean), "seed \(sample.seed)")
    }
  }

  @Test func `shield and graceful read from the log what they would have got at once`() {
    for sample in samples(1000, from: 5000) {
      let (log, end) = keep(sample)
      let graceful = Play()(.graceful, sample.pieces, sample.end)
      let logged = read(log, end, .graceful)
      #expect(areAlike(logged.body, graceful.body), "seed \(sample.seed)")
      #expect(logged.end == graceful.end)
      let shield = Play()(.shield, sample.pieces, sample.end)
      let replayed = read(log, end, .shield)
      #expect(areAlike(replayed.body, shield.body), "seed \(sample.seed)")
      #expect(replayed.end == shield.end)
    }
  }

  @Test func `many events are lent where they lie, in order, as far as there is room`() {
    var random = SeededGenerator(seed: 5)
    let log = MemoryLog(of: Play.stream)
    for number in 1...5000 {
      // Rarely one that a graceful client does not get as it lies.
      let own = number % 500 == 0 ? "id: own\n" : ""
      log.append(SeenEntry(event: UInt64(number), "\(own)data: \(String(repeating: "x", count: random.below(90)))\n\n"))
    }
    var whole = ByteBuffer()
    var one = LogDelivery(to: Play().reader(.graceful))
    _ = log.read(from: .beginning) { block, metadata in
      one.deliver(block, metadata, into: &whole)
      return true
    }
    var (sent, lent, position): ([UInt8], Int, LogPosition) = ([], 0, .beginning)
    var delivery = LogDelivery(to: Play().reader(.graceful))
    while position < log.frontier {
      let (room, before) = (1 + random.below(60_000), sent.count)
      var out = ByteBuffer()
      let next = log.deliver(from: position, to: &delivery, room: room, into: &out) { out, bytes in
        sent += out.toArray() + [UInt8](copying: bytes)
        out.removeAll()
        lent += 1
        #expect(bytes.count >= 4096)
      }
      sent += out.toArray()
      position = next ?? log.frontier
      #expect(sent.count > before && sent.count - before < room + 200)
    }
    #expect(sent == whole.toArray() && lent > 10)
    #expect(delivery.takeTally().events == 5000)
  }

  @Test(arguments: [Mode.legacy, .shield, .graceful])
  func `a client that takes events as they come gets what one gets that reads them one by one`(mode: Mode) {
    for sample in samples(500, from: 9000) {
      var random = SeededGenerator(seed: UInt64(sample.seed))
      let log = MemoryLog(of: Play.stream)
      let feed = EventFeed(id: Play.stream, classifier: EventClassifier(dialect: .auto), eventLimit: 1 << 20)
      var delivery = LogDelivery(to: Play().reader(mode))
      var position = LogPosition.beginning
      var out = ByteBuffer()
      var tally = StreamTally()
      for piece in sample.pieces {
        _ = log.take(piece.span, of: feed, into: &out)
        while position < log.frontier {
          let room = 1 + random.below(200)
          position =
            log.deliver(from: position, to: &delivery, room: room, into: &out) { $0.append($1) } ?? log.frontier
          tally.add(delivery.takeTally())
          if random.chance(30) { break }
        }
      }
      _ = log.deliver(from: position, to: &delivery, room: .max, into: &out) { $0.append($1) }
      tally.add(delivery.takeTally())
      var later = LogDelivery(to: Play().reader(mode))
      var read = ByteBuffer()
      _ = log.read(from: .beginning) { block, metadata in
        later.deliver(block, metadata, into: &read)
        return true
      }
      let count = later.takeTally()
      #expect(out.toArray() == read.toArray(), "seed \(sample.seed)")
      #expect(tally.events == feed.events && tally.bytes == feed.eventBytes, "seed \(sample.seed)")
      #expect(tally.marks == feed.marks && tally.eventsAfterCompletion == feed.eventsAfterCompletion)
      #expect(count.events == tally.events && count.eventsAfterCompletion == tally.eventsAfterCompletion)
      #expect(delivery.tail.hasPartialEvent == later.tail.hasPartialEvent)
    }
  }

  @Test(arguments: Mode.allCases)
  func `a log gives the same bytes wherever the backend's were cut`(mode: Mode) {
    for stream in EventSamples.lineEnds {
      let whole = keep(Sample(seed: 0, stream: stream, pieces: [stream], end: .cut(.reset)))
      let expected = read(whole.0, whole.1, mode).body
      for pieces in EventSamples.cutsInTwo(stream) + [EventSamples.singles(stream)] {
        let (log, end) = keep(Sample(seed: 0, stream: stream, pieces: pieces, end: .cut(.reset)))
        #expect(end.bytes == whole.1.bytes, "\(pieces)")
        #expect(read(log, end, mode).body == expected, "\(pieces)")
      }
    }
  }

  @Test(arguments: [Mode.legacy, .shield, .graceful])
  func `a comment between the pieces of a CRLF makes no blank line for a client of a log`(mode: Mode) {
    let pieces = ["data: 1\r\n\r", "\ndata: 2\r\n\r", "\n"].map { Array($0.utf8) }
    let log = MemoryLog(of: Play.stream)
    let feed = EventFeed(id: Play.stream, classifier: EventClassifier(dialect: .auto), eventLimit: 1 << 20)
    var delivery = LogDelivery(to: Play(numbersEvents: false).reader(mode))
    var position = LogPosition.beginning
    var out = ByteBuffer()
    for piece in pieces {
      _ = log.take(piece.span, of: feed, into: &out)
      position =
        log.deliver(from: position, to: &delivery, room: .max, into: &out) { $0.append($1) } ?? log.frontier
      delivery.completeLine(into: &out)
      EventWriter.keepalive(to: &out)
    }
    #expect(String(copying: out.span) == "data: 1\r\n\r\n:\ndata: 2\r\n\r\n:\n:\n")
    let tally = delivery.takeTally()
    #expect(tally.events == 2 && tally.bytes == feed.eventBytes && feed.eventBytes == 22)
  }

  private func areAlike(_ left: [UInt8], _ right: [UInt8]) -> Bool { messages(left) == messages(right) }

  private func messages(_ body: [UInt8]) -> [String] {
    // An id that is left without its blank line counts for a client that is told of it, and for nobody in a log.
    EventSourceClient.messages(in: body).map { $0.type == "stream_end" ? $0.type : "\($0.type) \($0.data)" }
  }
}
