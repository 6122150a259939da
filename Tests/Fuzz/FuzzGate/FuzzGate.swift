import Bytes
import SSE
import Streams

/// Any bytes, as a response that a gate holds:
/// - what the gate says does not depend on how the bytes are cut;
/// - what it holds are the body's bytes from the first one on;
/// - it holds no more than its limit and the piece that went beyond it;
/// - what it lets through has content or an end in the eyes of the feed that reads it next, or is more than it may hold;
/// - a body without either is not let through when it ends.
@c(LLVMFuzzerTestOneInput)
func fuzzGate(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  let input = Array(UnsafeBufferPointer(start: data, count: size))
  guard let choice = input.first else { return 0 }
  let body = Array(input.dropFirst())
  let dialect = Dialect.allCases[Int(choice & 7) % Dialect.allCases.count]
  let condition = choice & 8 == 0 ? GateCondition.firstToken : .firstEvent
  let end = choice & 16 == 0 ? UpstreamEnd.clean : .cut(.reset)
  let pieces = cut(body, seed: input)
  let whole = Played([body], end, condition, dialect, limit: 1 << 20)
  let split = Played(pieces, end, condition, dialect, limit: 1 << 20)
  precondition(whole.verdict == split.verdict, "the cut changes the verdict")
  precondition(body.starts(with: split.held) && whole.held == body, "what is held is not what came")
  check(split, end, condition, dialect)

  let limit = Int(choice >> 5) * 8
  let small = Played(pieces, end, condition, dialect, limit: limit)
  precondition(small.held.count < max(limit, 1) + (pieces.map(\.count).max() ?? 1), "too much is held")
  return 0
}

/// What a gate made of a body.
struct Played {
  var verdict = Gate.Verdict.holding
  var held: [UInt8] = []
  var isEnded = false

  init(_ pieces: [[UInt8]], _ end: UpstreamEnd, _ condition: GateCondition, _ dialect: Dialect, limit: Int) {
    var gate = Gate(condition: condition, classifier: EventClassifier(dialect: dialect), limit: limit)
    for piece in pieces where verdict == .holding { verdict = gate.receive(piece.span) }
    if verdict == .holding {
      verdict = gate.ended(end)
      isEnded = true
    }
    precondition(verdict != .holding, "an end is judged")
    gate.withHeld { held = [UInt8](copying: $0) }
  }
}

/// What the feed that reads on says of the bytes.
func check(_ played: Played, _ end: UpstreamEnd, _ condition: GateCondition, _ dialect: Dialect) {
  let feed = EventFeed(
    id: StreamID(random: (1, 2)), classifier: EventClassifier(dialect: dialect), eventLimit: 1 << 20)
  var out = ByteBuffer()
  _ = feed.receive(played.held.span, for: LegacyReader(), into: &out)
  if played.isEnded { _ = feed.outcome(of: end) }
  let isGood = feed.hasContent || feed.hasTerminal || (condition == .firstEvent && feed.events > 0)
  switch played.verdict {
  case .open: precondition(isGood, "let through without a reason")
  case .failed(.noContent), .failed(.emptyBody):
    precondition(!feed.hasContent && !feed.hasTerminal, "content was taken for none")
  case .failed(.cut): precondition(end != .clean)
  default: break
  }
}

/// Cuts that follow from the input, so that a crash can be repeated from its bytes alone.
func cut(_ body: [UInt8], seed: [UInt8]) -> [[UInt8]] {
  var state = seed.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
  var pieces: [[UInt8]] = []
  var rest = body[...]
  while !rest.isEmpty {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    pieces.append(Array(rest.prefix(Int(state >> 60))))
    rest = rest.dropFirst(Int(state >> 60))
  }
  return pieces
}
