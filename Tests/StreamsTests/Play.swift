import Bytes
import SSE
import Streams
import Time

/// One stream played through a feed and a reader, as the gateway does it.
struct Play {
  static let stream = StreamID(random: (0x0001_0203_0405_0607, 0x0809_0A0B_0C0D_0E0F))
  static let streamText = "AAECAwQFBgcICQoLDA0ODw"

  var dialect = Dialect.auto
  var eventLimit = 1 << 20
  var shieldLimit = 1 << 20
  var numbersEvents = true
  var retryMilliseconds: Int?
  var recall = Recall.none
  /// Whether a comment goes in behind every piece where one may.
  var keepsAlive = false
  /// An outcome that is not the backend's, with which the stream ends.
  var outcome: Outcome?

  /// What came of it.
  struct Result {
    var body: [UInt8] = []
    var end = BodyEnd.complete
    var outcome = Outcome.completed
    var events: UInt64 = 0
    var eventBytes: UInt64 = 0
    var eventsAfterCompletion: UInt64 = 0
    var hadPartial = false
    /// What had been sent after each piece.
    var bodyLengths: [Int] = []

    var text: String { String(decoding: body, as: UTF8.self) }
  }

  func reader(_ mode: Mode) -> any Reader {
    switch mode {
    case .legacy: LegacyReader()
    case .shield: ShieldReader(limit: shieldLimit)
    case .graceful:
      GracefulReader(stream: Self.stream, numbersEvents: numbersEvents, retryMilliseconds: retryMilliseconds)
    }
  }

  func callAsFunction(_ mode: Mode, _ pieces: [[UInt8]], _ end: UpstreamEnd = .clean) -> Result {
    callAsFunction(reader(mode), pieces, end)
  }

  func callAsFunction(_ mode: Mode, _ text: String, _ end: UpstreamEnd = .clean) -> Result {
    callAsFunction(mode, [Array(text.utf8)], end)
  }

  func callAsFunction(_ reader: any Reader, _ pieces: [[UInt8]], _ end: UpstreamEnd) -> Result {
    let feed = EventFeed(id: Self.stream, classifier: EventClassifier(dialect: dialect), eventLimit: eventLimit)
    var result = Result()
    var out = ByteBuffer()
    var failure = outcome
    reader.open(into: &out)
    for piece in pieces {
      switch feed.receive(piece.span, for: reader, into: &out) {
      case .verbatim: out.append(piece)
      case .buffered: break
      case .failed(let outcome): failure = outcome
      }
      if keepsAlive, !reader.isVerbatim || feed.isBetweenEvents {
        feed.completeLine(into: &out)
        EventWriter.keepalive(to: &out)
      }
      result.body += out.toArray()
      result.bodyLengths.append(result.body.count)
      out.removeAll()
      if failure != nil, outcome == nil { break }
    }
    result.outcome = failure ?? feed.outcome(of: end)
    result.hadPartial = feed.hasPartialEvent
    let streamEnd = StreamEnd(
      stream: Self.stream, time: WallTime(milliseconds: 1_769_860_800_000), outcome: result.outcome, reason: "why")
    let ending = Ending(
      streamEnd: streamEnd, upstreamIsComplete: failure == nil && end == .clean, recall: recall)
    result.end = reader.finish(ending, tail: feed, into: &out)
    result.body += out.toArray()
    result.events = feed.events
    result.eventBytes = feed.eventBytes
    result.eventsAfterCompletion = feed.eventsAfterCompletion
    return result
  }
}

/// Keeps every event and what it means.
final class RecordingReader: Reader {
  /// Each with what stands between it and the next one; the first may be blank lines alone.
  var blocks: [(block: [UInt8], mark: EventMark)] = []

  var mode: Mode { .legacy }
  var isVerbatim: Bool { false }
  var keepsFiller: Bool { true }
  func open(into out: inout ByteBuffer) {}
  func deliver(
    _ event: Event, _ bytes: Span<UInt8>, mark: EventMark, number: UInt64, into out: inout ByteBuffer
  ) {
    blocks.append(([UInt8](copying: bytes.extracting(event.range)), mark))
  }
  func deliverFiller(_ bytes: Span<UInt8>, after number: UInt64, into out: inout ByteBuffer) {
    if blocks.isEmpty, bytes.equals("\u{FEFF}") { return }
    if blocks.isEmpty { blocks.append(([], [])) }
    blocks[blocks.count - 1].block += [UInt8](copying: bytes)
  }
  func survivesLargeEvent(_ kept: Span<UInt8>, _ rest: Span<UInt8>, into out: inout ByteBuffer) -> Bool { true }
  func finish(_ ending: Ending, tail: some StreamTail, into out: inout ByteBuffer) -> BodyEnd {
    if ending.upstreamIsComplete { _ = tail.completePartial(for: self, into: &out) }
    return ending.framing
  }
}

extension Play {
  static func buffer() -> ByteBuffer { ByteBuffer() }
}
