import Bytes
import EventSamples
import SSE
import Streams
import Time

/// Any bytes, as a backend's event stream:
/// - its blocks do not depend on how the bytes are cut, and no block holds more than its limit;
/// - legacy sends the bytes as they are;
/// - graceful sends the events in their order, then `stream_end`, last and whole;
/// - shield sends every byte once, blank lines between blocks included.
@c(LLVMFuzzerTestOneInput)
func fuzzEventStream(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  let input = Array(UnsafeBufferPointer(start: data, count: size))
  guard let choice = input.first else { return 0 }
  let stream = Array(input.dropFirst())
  // The first byte chooses the limit of an event, so that small inputs reach it.
  let limit = choice < 128 ? 1 << 20 : Int(choice) - 112
  var cut = Cut(input)
  let pieces = cut.pieces(of: stream)
  let whole = Blocks([stream], limit: limit)
  let split = Blocks(pieces, limit: limit)
  // Whether a block is too large may hang on the LF of its last CRLF.
  if limit == 1 << 20 || !stream.contains(0x0D) {
    precondition(whole == split, "the cut changes the blocks")
  }
  check(stream, pieces, limit: limit, end: choice % 2 == 0 ? .clean : .cut(.reset), blocks: split)
  return 0
}

/// What the parser makes of a stream.
struct Blocks: Equatable {
  var blocks: [[UInt8]] = []
  var fields: [UInt8] = []
  var values: [[UInt8]] = []
  var partial: [UInt8] = []
  var tooLarge = 0

  init(_ pieces: [[UInt8]], limit: Int) {
    var parser = EventParser(limit: limit)
    for piece in pieces {
      var offset = 0
      taking: while true {
        switch parser.next(in: piece.span, at: &offset) {
        case .needsMore: break taking
        case .event(let event) where event.isCarried: note(event, parser.carried, limit: limit)
        case .event(let event): note(event, piece.span, limit: limit)
        case .tooLarge(let kept, let start):
          precondition(kept <= parser.carried.count && start <= piece.count)
          tooLarge += 1
        }
      }
      precondition(offset == piece.count && parser.carried.count <= limit)
      precondition(parser.partialLength > 0 || parser.allocated == 0)
    }
    partial = [UInt8](copying: parser.carried)
  }

  private mutating func note(_ event: Event, _ bytes: Span<UInt8>, limit: Int) {
    precondition(event.range.count <= limit && event.length >= event.range.count)
    precondition(event.blankLine <= event.range.upperBound)
    for value in [event.type, event.data, event.id] where !value.isEmpty {
      precondition(value.lowerBound > event.range.lowerBound && value.upperBound <= event.blankLine)
    }
    let block = [UInt8](copying: bytes.extracting(event.range))
    blocks.append(block.suffix(2) == [0x0D, 0x0A] ? block.dropLast() : block)
    fields.append(event.fields.rawValue)
    for value in [event.type, event.data, event.id] { values.append([UInt8](copying: bytes.extracting(value))) }
  }
}

func check(_ stream: [UInt8], _ pieces: [[UInt8]], limit: Int, end: UpstreamEnd, blocks: Blocks) {
  let legacy = play(LegacyReader(), pieces, limit: limit, end)
  precondition(legacy.body == stream, "legacy changed a byte")
  precondition((legacy.end == .complete) == (end == .clean))

  let seen = EventSourceClient.messages(in: stream + (end == .clean ? [0x0A, 0x0A] : []))
  let graceful = play(GracefulReader(stream: id, numbersEvents: true, retryMilliseconds: 5), pieces, limit: limit, end)
  let sent = EventSourceClient.messages(in: graceful.body)
  precondition(sent.last?.type == "stream_end" && graceful.end == .complete, "stream_end is not last")
  // An error that the backend wrote as bare JSON is no event, so the gateway tells the client of it. A backend may write
  // the same as an event: then there is none too many.
  let isTold =
    graceful.outcome == .upstreamError && sent.count == seen.count + 2
    && sent[seen.count].text.hasPrefix(#"{"type":"error","source":"gateway""#)
  let own = graceful.outcome.isToldAsError || isTold ? 2 : 1
  let delivered = sent.dropLast(own)
  precondition(graceful.outcome == .eventTooLarge || delivered.count == seen.count, "graceful lost or added an event")
  for (left, right) in zip(delivered, seen) { precondition(left.data == right.data && left.type == right.type) }

  let shield = play(ShieldReader(limit: limit), pieces, limit: limit, end)
  if blocks.tooLarge == 0 {
    // Every byte once, in another order; a byte order mark is left out or put in, and a clean end closes the last block.
    let hasMark = stream.starts(with: mark)
    let begins = hasMark ? Array(stream.dropFirst(3)) : stream
    let ends = end == .clean ? 2 : 0
    let added = shield.body.count - begins.count
    precondition((0...ends).contains(shield.body.starts(with: mark) ? added - 3 : added), "shield lost or added a byte")
    if added == 0 { precondition(shield.body.sorted() == begins.sorted(), "shield changed a byte") }
    precondition(EventSourceClient.messages(in: shield.body).count == seen.count, "shield lost an event")
  }
}

let id = StreamID(random: (1, 2))
/// A byte order mark in UTF-8.
let mark: [UInt8] = [0xEF, 0xBB, 0xBF]

struct Played {
  var body: [UInt8]
  var end: BodyEnd
  var outcome: Outcome
}

/// Plays a stream through a feed and a reader.
func play(_ reader: some Reader, _ pieces: [[UInt8]], limit: Int, _ end: UpstreamEnd) -> Played {
  let feed = EventFeed(id: id, classifier: EventClassifier(dialect: .auto), eventLimit: limit)
  var out = ByteBuffer()
  reader.open(into: &out)
  var failure: Outcome?
  for piece in pieces where failure == nil {
    switch feed.receive(piece.span, for: reader, into: &out) {
    case .verbatim: out.append(piece)
    case .buffered: break
    case .failed(let outcome): failure = outcome
    }
  }
  let outcome = failure ?? feed.outcome(of: end)
  let streamEnd = StreamEnd(stream: id, time: WallTime(milliseconds: 0), outcome: outcome, reason: "")
  let ending = Ending(streamEnd: streamEnd, upstreamIsComplete: failure == nil && end == .clean, recall: .none)
  let bodyEnd = reader.finish(ending, tail: feed, into: &out)
  return Played(body: out.toArray(), end: bodyEnd, outcome: outcome)
}

/// Cuts that follow from the input, so that a crash can be repeated from its bytes alone.
struct Cut {
  private var state: UInt64

  init(_ seed: [UInt8]) {
    state = seed.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
  }

  mutating func pieces(of stream: [UInt8]) -> [[UInt8]] {
    var pieces: [[UInt8]] = []
    var rest = stream[...]
    while !rest.isEmpty {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      pieces.append(Array(rest.prefix(Int(state >> 60))))
      rest = rest.dropFirst(Int(state >> 60))
    }
    return pieces
  }
}
