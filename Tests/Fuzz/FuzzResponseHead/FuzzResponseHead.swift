import Bytes
import HTTP

/// Any bytes, as an upstream might answer:
/// - the result does not depend on how the bytes are cut;
/// - a response that is taken is forwarded as exactly one response, which is read back as the same.
@c(LLVMFuzzerTestOneInput)
func fuzzResponseHead(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  let input = Array(UnsafeBufferPointer(start: data, count: size))
  let limits = HeadLimits(head: 1024, fields: 16)
  let whole = Outcome(input, limits: limits) { _ in input.count }
  var pieces = PieceLengths(seed: input)
  let cut = Outcome(input, limits: limits) { _ in pieces.next() }
  precondition(whole == cut, "the cut changes the result: \(whole) \(cut)")
  if case .head(let head, _) = whole {
    for version in [HTTPVersion.http10, .http11] {
      for method in [Method.get, .head] { checkForwarding(head, to: method, version: version) }
    }
  }
  return 0
}

enum Outcome: Equatable {
  case head(ResponseHead, consumed: Int)
  case fault(HTTP1Error)
  case needMore

  init(_ input: [UInt8], limits: HeadLimits, pieceLength: (Int) -> Int) {
    var parser = ResponseHeadParser()
    var offset = 0
    do {
      while offset < input.count {
        let end = min(offset + pieceLength(offset), input.count)
        let piece = input.span.extracting(offset..<end)
        if case .complete(let head, let consumed) = try parser.parse(piece, limits: limits) {
          precondition(consumed <= end - offset)
          self = .head(head, consumed: offset + consumed)
          return
        }
        offset = end
      }
      self = .needMore
    } catch {
      self = .fault(error)
    }
  }

  static func == (left: Outcome, right: Outcome) -> Bool {
    switch (left, right) {
    case (.head(let one, let length), .head(let other, let otherLength)):
      length == otherLength && one.status == other.status && one.version == other.version
        && one.declaredFraming == other.declaredFraming && one.connection == other.connection
        && String(copying: one.reason) == String(copying: other.reason) && one.fields.lines == other.fields.lines
    case (.fault(let one), .fault(let other)): one == other
    case (.needMore, .needMore): true
    default: false
    }
  }
}

extension Fields {
  var lines: [String] {
    indices.map { "\(String(copying: name(at: $0))): \(String(copying: value(at: $0)))" }
  }
}

func checkForwarding(_ head: ResponseHead, to method: Method, version: HTTPVersion) {
  // Those are not passed on.
  if head.isInformational { return }
  let framing = BodyFraming(BodyFraming.ofResponse(head, to: method).plan, for: version)
  var buffer = ByteBuffer()
  var draft = ResponseDraft()
  Forwarding.draftResponse(head, as: ResponseRules(), into: &draft)
  HTTP1Head.write(draft, framing: framing, version: version, isKeepAlive: true, into: &buffer)
  let output = buffer.toArray()
  var parser = ResponseHeadParser()
  guard case .complete(let again, let consumed)? = try? parser.parse(output.span) else {
    preconditionFailure("a forwarded response cannot be read")
  }
  precondition(consumed == output.count, "a forwarded response is more than one")
  precondition(again.status == head.status, "a forwarded response is another")
  precondition(BodyFraming.ofResponse(again, to: method) == framing, "the client reads another body")
  precondition(again.fields.count(of: .connection) <= 1 && !again.fields.contains(.upgrade))
}

/// Piece lengths from 1 to 16 that follow from the input, so that a crash can be repeated from its bytes alone.
struct PieceLengths {
  private var state: UInt64

  init(seed: [UInt8]) {
    state = seed.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
  }

  mutating func next() -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int(state >> 60) + 1
  }
}
