import Bytes
import HTTP

/// Any bytes, as a client might send them:
/// - the result does not depend on how the bytes are cut;
/// - a request that is taken is forwarded as exactly one request, which is read back as the same.
@c(LLVMFuzzerTestOneInput)
func fuzzRequestHead(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  let input = Array(UnsafeBufferPointer(start: data, count: size))
  let limits = HeadLimits(requestLine: 256, head: 1024, fields: 16)
  let whole = Outcome(input, limits: limits) { _ in input.count }
  var pieces = PieceLengths(seed: input)
  let cut = Outcome(input, limits: limits) { _ in pieces.next() }
  precondition(whole == cut, "the cut changes the result: \(whole) \(cut)")
  if case .head(let head, _) = whole { checkForwarding(head) }
  return 0
}

enum Outcome: Equatable {
  case head(RequestHead, consumed: Int)
  case fault(HTTP1Error)
  case needMore

  init(_ input: [UInt8], limits: HeadLimits, pieceLength: (Int) -> Int) {
    var parser = RequestHeadParser()
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
      length == otherLength && one.isSame(as: other)
        && one.fields.lines == other.fields.lines && one.version == other.version
    case (.fault(let one), .fault(let other)): one == other
    case (.needMore, .needMore): true
    default: false
    }
  }
}

extension RequestHead {
  func isSame(as other: RequestHead) -> Bool {
    method == other.method && target.pathString == other.target.pathString
      && target.queryString == other.target.queryString && framing == other.framing
  }
}

extension Fields {
  var lines: [String] {
    indices.map { "\(String(copying: name(at: $0))): \(String(copying: value(at: $0)))" }
  }
}

func checkForwarding(_ head: RequestHead) {
  let rules = ForwardingRules(upstreamAuthority: FieldValue(literal: "upstream"))
  for isTrusted in [false, true] {
    let client = ForwardedClient(address: "192.0.2.1", isSecure: true, isTrusted: isTrusted)
    var buffer = ByteBuffer()
    Forwarding.writeRequest(head, from: client, as: rules, into: &buffer)
    let output = buffer.toArray()
    var parser = RequestHeadParser()
    guard case .complete(let again, let consumed)? = try? parser.parse(output.span) else {
      preconditionFailure("a forwarded request cannot be read")
    }
    precondition(consumed == output.count, "a forwarded request is more than one")
    precondition(again.isSame(as: head), "a forwarded request is another")
    for field in [KnownField.host, .contentLength, .transferEncoding, .connection, .via, .xForwardedFor] {
      precondition(again.fields.count(of: field) <= (field == .via ? 128 : 1))
    }
    precondition(!again.fields.contains(.upgrade) && !again.fields.contains(.te))
  }
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
