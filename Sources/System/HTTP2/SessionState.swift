import Bytes
import HTTP
import Time

/// What a session knows, and what its library tells it. Only takes notes: the library must not be called from within
/// its own callbacks, and owners are told when it has returned.
@safe
final class SessionState {
  /// What to do when the library has returned.
  enum Task {
    case reset(HTTP2StreamID, HTTP2ErrorCode)
    case goAway
    case terminate(HTTP2ErrorCode)
  }

  /// How far the session's leave has come.
  enum Leave {
    case none
    /// When the last stream is over; at once if streams need not be waited for.
    case asked(isEarly: Bool)
    /// The client has been told to open no more streams; those under way are still taken.
    case announced
    /// The last GOAWAY is on its way.
    case taken
  }

  private enum Section: ~Copyable {
    case none
    case request(HTTP2RequestBuilder)
    case trailers(HTTP2TrailerCheck)
  }

  private struct Note {
    var record: StreamRecord?
    var event: HTTP2Event
  }

  /// A section that expands to more than so many times the limit of a head is not read to its end: a few thousand bytes
  /// can be made of an index each for a field of the table, and the library looks at every byte of every field. One that
  /// is not as large gets an answer that says what was wrong.
  private static let sectionFactor = 4

  /// The size of frames that are taken (RFC 9113, 4.2), in bytes.
  private static let frameSize = 16_384

  private let limits: HeadLimits
  private var section: Section = .none
  /// Names and values of it, and 32 bytes for each field.
  private var sectionSize = 0
  private var notes = Queue<Note>()
  /// Streams that the library has open.
  private(set) var streams: [HTTP2StreamID: StreamRecord] = [:]
  private(set) var budget: FrameBudget
  private(set) var now = MonotonicTime(nanoseconds: 0)

  var tasks: [Task] = []
  var pings = PingRound()
  var leave = Leave.none
  private(set) var leaveCode = HTTP2ErrorCode.noError
  private(set) var settingsAreAcknowledged = false
  private(set) var sectionBeganAt: MonotonicTime?
  /// A fault of the client's that ends the connection, and that the library does not see.
  private(set) var doom: HTTP2ErrorCode?
  private var closed = ClosedStreams()
  /// Whether one side has said that it leaves: only then is a session ever over.
  private(set) var mayEnd = false
  private var endIsDecided = false
  private var overIsTold = false
  private var retiringIsTold = false

  var scanner = FrameScanner()
  /// The beginning of what is being received.
  var input: UnsafePointer<UInt8>?
  /// Bytes of bodies that came in the current read.
  var receivedBody = 0
  private(set) var writes: UInt32 = 0
  private(set) var sink: (any HTTP2Sink)?

  init(settings: HTTP2Settings) {
    limits = settings.head
    budget = FrameBudget(limits: settings.budget)
  }

  func pass(to time: MonotonicTime) {
    now = time
    budget.fill(at: time)
  }

  func begin(writingTo sink: any HTTP2Sink) {
    self.sink = sink
    writes &+= 1
  }

  func endWriting() { sink = nil }

  // MARK: - Events

  /// The next thing that the owner is to be told. Of a stream that is gone before its owner heard of it nothing is
  /// told.
  func nextEvent() -> HTTP2Event? {
    if notes.isEmpty { return nil }
    while let note = notes.popFirst() {
      guard let record = note.record else { return note.event }
      switch note.event {
      case .opened, .refused:
        if record.isOver { continue }
        record.isAnnounced = true
        return note.event
      default: if record.isAnnounced { return note.event }
      }
    }
    return nil
  }

  private func note(_ event: HTTP2Event, _ record: StreamRecord? = nil) {
    // What came behind a fault that ends the connection was never there.
    guard doom == nil || record == nil else { return }
    notes.append(Note(record: record, event: event))
  }

  /// Whether the client has done what may end the session.
  var isInTrouble: Bool { doom != nil || budget.isLow }

  /// Why the session is to be ended by this side: `nil` when it is not, or when that was decided before.
  func decideEnd() -> HTTP2ErrorCode? {
    guard !endIsDecided, let code = doom ?? (budget.verdict == .end ? .enhanceYourCalm : nil) else { return nil }
    endIsDecided = true
    return code
  }

  /// The session reads and writes no more.
  func noteOver() {
    guard !overIsTold else { return }
    overIsTold = true
    for record in streams.values { record.isOver = true }
    note(.over(leaveCode))
  }

  /// Tells the owner, once, that the client has used up most of its budget.
  func noteRetiring() {
    guard !retiringIsTold else { return }
    retiringIsTold = true
    if case .none = leave { leave = .asked(isEarly: false) }
    note(.retiring)
  }

  // MARK: - Frames that came

  func frameBegan(_ header: FrameHeader) {
    if header.type != .continuation {
      sectionBeganAt = nil
      closed.headIsComplete()
    }
    switch header.type {
    case .reset: break
    case .data:
      checkPadding(header)
      checkIsOpen(header)
      checkLength(header)
    case .headers:
      checkPadding(header)
      sectionBeganAt = now
      if streams[header.stream] == nil, !closed.opens(header.stream) { checkIsOpen(header) }
    case .continuation:
      // The library looks at the size of other frames only.
      if header.length > Self.frameSize { doom = doom ?? .frameSizeError }
      budget.controlFrameCame()
    case .priority where header.stream == 0: doom = doom ?? .protocolError
    case .windowUpdate: budget.windowUpdateCame()
    // Those that were asked for are free.
    case .ping where header.isAcknowledgement: break
    case .settings where header.isAcknowledgement && !settingsAreAcknowledged: break
    default: budget.controlFrameCame()
    }
  }

  // Of what the library sees otherwise than RFC 9113, or not at all.

  private func checkPadding(_ header: FrameHeader) {
    if header.isPadded, header.length == 0 { doom = doom ?? .frameSizeError }
  }

  /// Here and not when the bytes come, so that a piece of the frame is never passed on.
  private func checkLength(_ header: FrameHeader) {
    guard !header.isPadded, let record = streams[header.stream], let rest = record.declared.rest else { return }
    if header.length > rest, !record.requestIsWhole { refuseRest(of: record) }
  }

  private func checkIsOpen(_ header: FrameHeader) {
    if streams[header.stream] != nil { return }
    if closed.forgives(header.stream) { budget.controlFrameCame() } else { doom = doom ?? .streamClosed }
  }

  func sectionBegan(_ id: HTTP2StreamID, isRequest: Bool) {
    sectionSize = 0
    section = isRequest ? .request(HTTP2RequestBuilder(limits: limits)) : .trailers(HTTP2TrailerCheck(limits: limits))
  }

  /// - Returns: false when the section is too large, so that its stream is to be reset and the rest passed over.
  func fieldCame(_ name: Span<UInt8>, _ value: Span<UInt8>) -> Bool {
    sectionSize += name.count + value.count + 32
    guard sectionSize <= Self.sectionFactor * limits.head else {
      section = .none
      sectionBeganAt = nil
      return false
    }
    switch takeSection() {
    case .none: break
    case .request(var builder):
      builder.add(name, value)
      section = .request(builder)
    case .trailers(var check):
      check.add(name, value)
      section = .trailers(check)
    }
    return true
  }

  /// A header section is complete.
  func sectionEnded(_ id: HTTP2StreamID, isLast: Bool) {
    sectionBeganAt = nil
    switch takeSection() {
    case .none: break
    case .request(let builder): requestCame(id, builder, isWhole: isLast)
    case .trailers(let check):
      guard let record = streams[id] else { return }
      if check.fault == nil { return bodyEnded(record) }
      refuseRest(of: record)
    }
  }

  private func takeSection() -> Section {
    var taken = Section.none
    swap(&taken, &section)
    return taken
  }

  private func requestCame(_ id: HTTP2StreamID, _ builder: consuming HTTP2RequestBuilder, isWhole: Bool) {
    budget.streamOpened()
    closed.opened()
    let record = StreamRecord(id: id)
    record.requestIsWhole = isWhole
    streams[id] = record
    do throws(HTTP2Fault) {
      let head = try builder.finish(isWhole: isWhole)
      record.declared = DeclaredLength(head.framing)
      record.hasPriority = head.fields.contains(named: "priority")
      note(.opened(id, head, isWhole: isWhole), record)
    } catch {
      record.dropsBody = true
      if error.status == 431 { budget.headWasTooLarge() }
      note(.refused(id, error), record)
    }
  }

  func bodyCame(_ id: HTTP2StreamID, _ range: Range<Int>) {
    receivedBody += range.count
    guard let record = streams[id], !record.dropsBody, !record.isOver else { return }
    do throws(HTTP2Fault) {
      try record.declared.came(range.count)
      note(.data(id, range), record)
    } catch { refuseRest(of: record) }
  }

  func dataFrameEnded(_ id: HTTP2StreamID, isEmpty: Bool, isLast: Bool) {
    if isEmpty, !isLast { budget.controlFrameCame() }
    if isLast, let record = streams[id] { bodyEnded(record) }
  }

  private func bodyEnded(_ record: StreamRecord) {
    record.requestIsWhole = true
    guard !record.dropsBody, !record.isOver else { return }
    do throws(HTTP2Fault) {
      try record.declared.ended()
      note(.ended(record.id), record)
    } catch { refuseRest(of: record) }
  }

  /// The rest of the request is malformed: its stream ends.
  private func refuseRest(of record: StreamRecord) {
    guard !record.isOver else { return }
    record.isOver = true
    record.dropsBody = true
    budget.resetWasForced()
    record.isReset = true
    tasks.append(.reset(record.id, .protocolError))
    note(.reset(record.id, .protocolError), record)
  }

  func resetCame(_ id: HTTP2StreamID) {
    guard let record = streams[id], !record.isReset, !record.endIsSent else { return }
    record.isReset = true
    budget.streamWasReset(record.progress, at: now)
  }

  func goAwayCame() { mayEnd = true }

  func settingsWereAcknowledged() { settingsAreAcknowledged = true }

  func pingWasAnswered(_ number: UInt64) {
    guard let askers = pings.answer(number) else { return budget.controlFrameCame() }
    for asker in askers {
      switch asker {
      case .owner: note(.pingAnswered)
      case .shutdown: tasks.append(.goAway)
      case .stream(let id):
        note(.confirmed(id))
        // The answer is complete and arrived, so the rest of the request is of no use (RFC 9113, 8.1).
        if let record = streams[id], record.endIsSent, !record.isReset {
          record.isReset = true
          record.isOver = true
          tasks.append(.reset(id, .noError))
        }
      }
    }
  }

  func streamClosed(_ id: HTTP2StreamID, _ code: HTTP2ErrorCode) {
    guard let record = streams.removeValue(forKey: id) else { return }
    record.body = nil
    guard !record.isOver else { return }
    record.isOver = true
    if record.endIsSent, record.requestIsWhole { return }
    note(.reset(id, code), record)
  }

  // MARK: - Frames that were sent

  func headWasSent(_ id: HTTP2StreamID, isLast: Bool) {
    guard let record = streams[id], record.isAnswered else { return }
    if record.headSentAt == nil { record.headSentAt = now }
    if isLast { endWasSent(record) }
  }

  /// The head of an answer is larger than the library sends: there is no answer.
  func headWasNotSent(_ id: HTTP2StreamID) {
    guard let record = streams[id], record.isAnswered, record.headSentAt == nil, !record.isReset else { return }
    record.isReset = true
    record.isOver = true
    record.dropsBody = true
    tasks.append(.reset(id, .internalError))
    note(.reset(id, .internalError), record)
  }

  func emptyDataWasSent(_ id: HTTP2StreamID, isLast: Bool) {
    guard isLast, let record = streams[id] else { return }
    endWasSent(record)
  }

  private func endWasSent(_ record: StreamRecord) {
    record.endIsSent = true
    record.body = nil
    if !record.isOver { note(.written(record.id), record) }
    pings.ask(.stream(record.id))
  }

  func resetWasSent(_ id: HTTP2StreamID, _ code: HTTP2ErrorCode) {
    closed.wasReset(id)
    if let record = streams[id], record.isReset { return }
    // A stream's window that overflows by SETTINGS is a fault of the connection (RFC 9113, 6.9.2). Others may be.
    if code == .flowControlError { doom = doom ?? code }
    if code == .refusedStream { budget.streamWasRefused() } else { budget.resetWasForced() }
  }

  func goAwayWasSent(_ code: HTTP2ErrorCode) {
    mayEnd = true
    if code != .noError { leaveCode = code }
  }

  // MARK: - Bodies

  /// What the library may do with a stream's body.
  enum Framing {
    case frame(count: Int, isLast: Bool)
    /// Nothing is ready.
    case later
    /// The sink takes none.
    case pause
  }

  func frameBody(of record: StreamRecord, atMost length: Int) -> Framing {
    guard let sink, sink.takesBody else { return .pause }
    guard let part = record.body?.ready else { return .later }
    let count = min(part.count, length)
    record.isShort = count < part.count
    if part.count == 0 { record.waitsSince = nil }
    if count == 0 { return part.next == .end ? .frame(count: 0, isLast: true) : nothingReady(record, part) }
    if let since = record.waitsSince, since != writes, record.roomToldIn != writes {
      record.roomToldIn = writes
      note(.roomFor(record.id), record)
    }
    if count == part.count {
      record.waitsSince = nil
      return .frame(count: count, isLast: part.next == .end)
    }
    if record.waitsSince == nil { record.waitsSince = writes }
    return .frame(count: count, isLast: false)
  }

  func dropBodies() {
    for record in streams.values { record.body = nil }
  }

  private func nothingReady(_ record: StreamRecord, _ part: HTTP2BodyPart) -> Framing {
    if part.next == .cut, !record.isAtCut {
      record.isAtCut = true
      note(.written(record.id), record)
      pings.ask(.stream(record.id))
    }
    return .later
  }

  func writeFrame(_ header: Span<UInt8>, count: Int, isLast: Bool, of record: StreamRecord) {
    guard let sink else { return }
    record.body?.write(header, count: count, to: sink)
    record.hasSentBody = true
    budget.dataWasSent(count, isShort: record.isShort)
    if isLast { endWasSent(record) }
  }
}
