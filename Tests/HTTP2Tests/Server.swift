import Bytes
import CNghttp2
import HTTP
import HTTP2
import HTTP2Frames
import Testing
import Time

/// A session with what its owner was told, and what its client was sent.
final class Server {
  let session: HTTP2Session
  let sink = Sink()
  /// One line for each event; pieces of one body are put together.
  private(set) var told: [String] = []
  private(set) var frames: [SentFrame] = []
  private(set) var error: HTTP2SessionError?
  /// Whether requests are answered when they are complete.
  var answers = false
  /// Whether what came of bodies is consumed at once.
  var consumes = true
  var now = MonotonicTime(nanoseconds: 1_000_000_000)
  private var parser = FrameParser()
  private var unread: [UInt8] = []

  init(_ settings: HTTP2Settings = HTTP2Settings(), started: Bool = true) throws {
    session = try HTTP2Session(HTTP2Context(settings: settings))
    if started { receive(Frames.start + Frames.settingsAcknowledgement) }
  }

  /// Takes `input` in one piece, and writes what is due unless told not to.
  func receive(_ input: [UInt8], writing: Bool = true) {
    guard error == nil else { return }
    do {
      try session.receive(input.span, at: now)
      takeEvents(input)
      if writing { write() }
    } catch { self.error = error }
  }

  func write() {
    guard error == nil else { return }
    do {
      try session.write(to: sink, at: now)
      readFrames()
      takeEvents([])
      if session.wantsWrite, sink.takesBody { try session.write(to: sink, at: now) }
      readFrames()
    } catch { self.error = error }
  }

  // What is not copied can't stand in an expectation.
  var streamCount: Int { session.streamCount }
  var wantsWrite: Bool { session.wantsWrite }
  var settingsAreAcknowledged: Bool { session.settingsAreAcknowledged }
  var sectionBeganAt: MonotonicTime? { session.sectionBeganAt }
  var budget: Int { session.budget }

  private func readFrames() {
    let bytes = sink.take()
    unread += bytes
    frames += parser.parse(bytes)
  }

  /// What was written since the last call.
  func takeBytes() -> [UInt8] {
    defer { unread = [] }
    return unread
  }

  @discardableResult
  func respond(_ id: Int32, _ body: (any HTTP2Body)?, status: Int = 200, isEventStream: Bool = true) -> Bool {
    session.respond(id, ResponseDraft(status: status), framing: .chunked, body: body, isEventStream: isEventStream)
  }

  private func takeEvents(_ input: [UInt8]) {
    while let event = session.nextEvent() { take(event, input) }
  }

  private func take(_ event: HTTP2Event, _ input: [UInt8]) {
    switch event {
    case .opened(let id, let head, let isWhole):
      told.append("opened \(id) \(Self.describe(head))\(isWhole ? "" : " and more")")
      if isWhole, answers { answer(id, 200) }
    case .refused(let id, let fault):
      told.append("refused \(id) \(fault.code)")
      if answers { answer(id, fault.status) }
    case .data(let id, let range):
      let text = String(decoding: input[range], as: UTF8.self)
      if let last = told.last, last.hasPrefix("data \(id) ") {
        told[told.count - 1] = last + text
      } else {
        told.append("data \(id) \(text)")
      }
      if consumes { session.consume(id, range.count) }
    case .ended(let id):
      told.append("ended \(id)")
      if answers { answer(id, 200) }
    case .reset(let id, let code): told.append("reset \(id) \(code)")
    case .roomFor(let id): told.append("room \(id)")
    case .written(let id): told.append("written \(id)")
    case .confirmed(let id): told.append("confirmed \(id)")
    case .pingAnswered: told.append("ping answered")
    case .retiring: told.append("retiring")
    case .over(let code): told.append("over \(code)")
    }
  }

  private func answer(_ id: Int32, _ status: Int) {
    respond(id, HTTP2StoredBody("ok".utf8Span.span), status: status)
  }

  static func describe(_ head: RequestHead) -> String {
    let query = head.target.queryString.map { "?\($0)" } ?? ""
    let all = head.fields
    let fields = all.indices.map { index in
      "\(String(copying: all.name(at: index))): \(String(copying: all.value(at: index)))"
    }
    return "\(head.method.name) \(head.target.pathString)\(query) \(head.framing) [\(fields.joined(separator: ", "))]"
  }

  func clearTold() { told = [] }
  func clearFrames() { frames = [] }

  /// The code of the last GOAWAY with an error, or of any.
  var goAway: UInt32? { frames.last { $0.type == 7 }?.code }
  func reset(_ id: UInt32) -> UInt32? { frames.last { $0.type == 3 && $0.stream == id }?.code }
  func status(_ id: UInt32) -> String? { frames.first { $0.type == 1 && $0.stream == id }?.fields.first?.1 }
  func body(_ id: UInt32) -> [UInt8] { frames.filter { $0.type == 0 && $0.stream == id }.flatMap(\.payload) }
  func isEnded(_ id: UInt32) -> Bool { frames.contains { $0.type < 2 && $0.stream == id && $0.flags & 1 != 0 } }
  /// Answers every PING that was sent and not answered yet.
  func answerPings() {
    let pings = frames.filter { $0.type == 6 && $0.flags & 1 == 0 }
    frames.removeAll { $0.type == 6 && $0.flags & 1 == 0 }
    for ping in pings { receive(Frames.ping(ping.payload, isAnswer: true)) }
  }
}

/// Gathers what a session writes.
final class Sink: HTTP2Sink {
  private var bytes: [UInt8] = []
  var takesBody = true
  /// The number of calls.
  private(set) var writes = 0

  func write(_ more: Span<UInt8>) {
    writes += 1
    for index in more.indices { bytes.append(more[index]) }
  }

  func take() -> [UInt8] {
    defer { bytes = [] }
    return bytes
  }
}

/// A frame that the session sent.
struct SentFrame {
  var type: UInt8
  var flags: UInt8
  var stream: UInt32
  var payload: [UInt8]
  var fields: [(String, String)] = []

  /// Of RST_STREAM and GOAWAY.
  var code: UInt32 {
    payload.dropFirst(type == 7 ? 4 : 0).prefix(4).reduce(0) { $0 << 8 | UInt32($1) }
  }
}

/// Reads frames, and header sections with the library's decoder, which is not what is tested.
struct FrameParser: ~Copyable {
  private var rest: [UInt8] = []
  private var inflater: OpaquePointer?

  init() { nghttp2_hd_inflate_new(&inflater) }
  deinit { nghttp2_hd_inflate_del(inflater) }

  mutating func parse(_ bytes: [UInt8]) -> [SentFrame] {
    rest += bytes
    var frames: [SentFrame] = []
    while rest.count >= 9 {
      let length = Int(rest[0]) << 16 | Int(rest[1]) << 8 | Int(rest[2])
      guard rest.count >= 9 + length else { break }
      let stream = rest[5..<9].reduce(0) { $0 << 8 | UInt32($1) }
      var frame = SentFrame(type: rest[3], flags: rest[4], stream: stream, payload: Array(rest[9..<9 + length]))
      if frame.type == 1 { frame.fields = inflate(frame.payload) }
      frames.append(frame)
      rest.removeFirst(9 + length)
    }
    return frames
  }

  private func inflate(_ block: [UInt8]) -> [(String, String)] {
    var fields: [(String, String)] = []
    var offset = 0
    block.withUnsafeBufferPointer { bytes in
      while true {
        var pair = nghttp2_nv()
        var flags: Int32 = 0
        let taken = nghttp2_hd_inflate_hd2(
          inflater, &pair, &flags, bytes.baseAddress! + offset, bytes.count - offset, 1)
        if taken < 0 { return fields.append(("error", "\(taken)")) }
        offset += taken
        if flags & Int32(NGHTTP2_HD_INFLATE_EMIT.rawValue) != 0 {
          let name = String(decoding: UnsafeBufferPointer(start: pair.name, count: pair.namelen), as: UTF8.self)
          let value = String(decoding: UnsafeBufferPointer(start: pair.value, count: pair.valuelen), as: UTF8.self)
          fields.append((name, value))
        }
        if flags & Int32(NGHTTP2_HD_INFLATE_FINAL.rawValue) != 0 { break }
      }
      nghttp2_hd_inflate_end_headers(inflater)
    }
    return fields
  }
}
