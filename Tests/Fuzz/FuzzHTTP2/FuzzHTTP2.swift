import Bytes
import HTTP
import HTTP2
import Time

/// Any bytes, as a client might send them behind the preface:
/// - what is told does not depend on how the bytes are cut;
/// - events come in an order in which an owner can understand them;
/// - what is written is frames, and of each stream a head, a body and one end;
/// - a request that is taken is forwarded as exactly one request.
@c(LLVMFuzzerTestOneInput)
func fuzzHTTP2(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  let input = Array(UnsafeBufferPointer(start: data, count: size))
  guard input.count <= 64 << 10, let context = Shared.context else { return 0 }
  let whole = Owner(context, answers: false).play(input) { input.count }
  var pieces = PieceLengths(seed: input)
  let cut = Owner(context, answers: false).play(input) { pieces.next() }
  precondition(whole == cut, "the cut changes what is told: \(whole) \(cut)")
  _ = Owner(context, answers: true).play(input) { pieces.next() }
  return 0
}

enum Shared {
  private static let settings = HTTP2Settings(
    streams: 8, connectionWindow: 100_000, head: HeadLimits(requestLine: 256, head: 1024, fields: 16, trailers: 256))
  nonisolated(unsafe) static let context = try? HTTP2Context(settings: settings)
}

/// One connection, and what its owner was told.
final class Owner {
  private let context: HTTP2Context
  private let answers: Bool
  private let sink = FrameSink()
  private var told: [String] = []
  private var streams: [HTTP2StreamID: Progress] = [:]
  private var reset: Set<HTTP2StreamID> = []
  private var isOver = false
  private var now = MonotonicTime(nanoseconds: 1)

  enum Progress { case open, whole }

  init(_ context: HTTP2Context, answers: Bool) {
    self.context = context
    self.answers = answers
  }

  func play(_ input: [UInt8], pieceLength: () -> Int) -> [String] {
    guard let session = try? HTTP2Session(context) else { return [] }
    let start = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 0, 4, 0, 0, 0, 0, 0]
    do {
      try receive(start, session)
      try session.write(to: sink, at: now)
      var offset = 0
      while offset < input.count {
        let end = min(offset + max(1, pieceLength()), input.count)
        try receive(Array(input[offset..<end]), session)
        offset = end
      }
      try session.write(to: sink, at: now)
      takeEvents([], session)
    } catch { told.append("failed \(error)") }
    sink.check()
    return told.filter { line in !reset.contains { line.hasPrefix("\($0) ") } }
  }

  private func receive(_ piece: [UInt8], _ session: borrowing HTTP2Session) throws(HTTP2SessionError) {
    if answers { now = now + .milliseconds(1) }
    try session.receive(piece.span, at: now)
    takeEvents(piece, session)
    guard answers else { return }
    try session.write(to: sink, at: now)
    takeEvents([], session)
  }

  private func takeEvents(_ piece: [UInt8], _ session: borrowing HTTP2Session) {
    while let event = session.nextEvent() {
      precondition(!isOver, "an event after the end")
      take(event, piece, session)
    }
  }

  private func take(_ event: HTTP2Event, _ piece: [UInt8], _ session: borrowing HTTP2Session) {
    switch event {
    case .opened(let id, let head, let isWhole):
      open(id, "opened \(head.method.name) \(head.target.pathString) \(head.framing)", isWhole)
      checkForwarding(head)
      if answers { answer(id, session) }
    case .refused(let id, let fault):
      open(id, "refused \(fault.code)", true)
      if answers { session.respond(id, ResponseDraft(status: fault.status), framing: .none, body: nil) }
    case .data(let id, let range):
      precondition(streams[id] == .open, "a body that nobody waits for")
      precondition(range.lowerBound >= 0 && range.upperBound <= piece.count && !range.isEmpty)
      for byte in piece[range] { told.append("\(id) \(byte)") }
      if range.count % 2 == 0 { session.consume(id, range.count) }
    case .ended(let id):
      precondition(streams.updateValue(.whole, forKey: id) == .open, "a body ends once")
      told.append("\(id) ended")
    case .reset(let id, _):
      precondition(streams.removeValue(forKey: id) != nil, "a reset of no stream")
      reset.insert(id)
    case .roomFor(let id), .written(let id): precondition(streams[id] != nil)
    case .confirmed, .pingAnswered, .retiring: break
    case .over(let code):
      isOver = true
      told.append("over \(code)")
    }
  }

  private func open(_ id: HTTP2StreamID, _ line: String, _ isWhole: Bool) {
    precondition(streams.updateValue(isWhole ? .whole : .open, forKey: id) == nil && id % 2 == 1, "a stream opens once")
    told.append("\(id) \(line)")
  }

  private func answer(_ id: HTTP2StreamID, _ session: borrowing HTTP2Session) {
    let body = HTTP2StoredBody()
    session.respond(id, ResponseDraft(status: 200), framing: .chunked, body: body, isEventStream: id % 4 == 1)
    body.append([UInt8](repeating: 0x61, count: Int(id % 64) * 1000).span)
    if id % 16 != 3 { body.finish(isCut: id % 8 == 7) }
    session.resume(id)
    if id % 32 == 9 { session.reset(id, .internalError) }
  }

  private func checkForwarding(_ head: RequestHead) {
    var buffer = ByteBuffer()
    let rules = ForwardingRules(upstreamAuthority: FieldValue(literal: "upstream"))
    Forwarding.writeRequest(head, from: nil, as: rules, into: &buffer)
    let output = buffer.toArray()
    var parser = RequestHeadParser()
    guard case .complete(let again, let consumed)? = try? parser.parse(output.span) else {
      preconditionFailure("a forwarded request cannot be read")
    }
    precondition(consumed == output.count, "a forwarded request is more than one")
    precondition(again.method == head.method && again.framing == head.framing)
    precondition(again.target.pathString == head.target.pathString)
  }
}

/// Reads what is written as frames.
final class FrameSink: HTTP2Sink {
  private enum Sent { case head, end }

  private var bytes: [UInt8] = []
  private var streams: [UInt32: Sent] = [:]
  var takesBody: Bool { bytes.count < 32 << 10 }

  func write(_ more: Span<UInt8>) {
    for index in more.indices { bytes.append(more[index]) }
    while let frame = nextFrame() { check(frame.type, frame.flags, frame.stream) }
  }

  func check() { precondition(bytes.isEmpty, "a frame is not complete") }

  private func nextFrame() -> (type: UInt8, flags: UInt8, stream: UInt32)? {
    guard bytes.count >= 9 else { return nil }
    let length = Int(bytes[0]) << 16 | Int(bytes[1]) << 8 | Int(bytes[2])
    guard bytes.count >= 9 + length else { return nil }
    let stream = bytes[5..<9].reduce(0) { $0 << 8 | UInt32($1) }
    defer { bytes.removeFirst(9 + length) }
    return (bytes[3], bytes[4], stream)
  }

  private func check(_ type: UInt8, _ flags: UInt8, _ stream: UInt32) {
    switch type {
    case 0: precondition(streams[stream] == .head, "a body outside an answer")
    case 1: precondition(streams.updateValue(.head, forKey: stream) == nil, "two heads")
    case 3:
      streams[stream] = .end
      return
    default: return
    }
    if flags & 1 != 0 { streams[stream] = .end }
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
