import Bytes
import CNghttp2
package import HTTP
package import Time

/// The server's side of one HTTP/2 connection: bytes in, events out, and frames into a sink. Knows no socket, no loop
/// and no clock; the time comes with each call.
///
/// After `receive` and after `write` the owner takes events until there are none. Nothing but `write` writes, so an
/// owner calls it when `wantsWrite`, at the latest at the end of the loop's turn. Lives on one loop.
@safe
package struct HTTP2Session: ~Copyable {
  private let session: OpaquePointer
  private let state: SessionState
  private let context: HTTP2Context

  /// The server's preface is due at once: `wantsWrite`.
  package init(_ context: HTTP2Context) throws(HTTP2SessionError) {
    let state = SessionState(settings: context.settings)
    unsafe session = try context.makeSession(state)
    self.state = state
    self.context = context
  }

  deinit {
    unsafe nghttp2_session_del(session)
  }

  // MARK: - Input

  /// Takes what the client sent. Ranges in the events that it leads to count from the beginning of `input`, so they
  /// must be taken before the next call.
  ///
  /// - Throws: when the connection must be closed. A client's fault that can be told to it, is: then `over` comes.
  package func receive(_ input: Span<UInt8>, at now: MonotonicTime) throws(HTTP2SessionError) {
    state.pass(to: now)
    defer { unsafe state.input = nil }
    unsafe input.withUnsafeBufferPointer { unsafe state.input = $0.baseAddress }
    state.scanner.begin()
    while wantsRead, let piece = state.scanner.next(in: input) {
      switch piece {
      case .rest(let range): try read(input.extracting(range))
      case .frame(let header, let range):
        state.frameBegan(header)
        if state.doom == nil { try read(input.extracting(range)) }
      case .gatheredFrame(let header):
        state.frameBegan(header)
        let bytes = state.scanner.header
        if state.doom == nil { try read(bytes.span) }
      }
    }
    // At once, whoever takes the bytes: what one stream does not take must not stop the others.
    if state.receivedBody > 0 {
      unsafe nghttp2_session_consume_connection(session, state.receivedBody)
      state.receivedBody = 0
    }
    judge()
  }

  /// Whether what comes next can mean anything: a session in which nothing is open, and of which one side has taken its
  /// leave, is over, whatever stands behind that in the same read.
  private var wantsRead: Bool {
    if state.doom != nil { return false }
    return unsafe !state.mayEnd || nghttp2_session_want_read(session) != 0
  }

  private func read(_ bytes: Span<UInt8>) throws(HTTP2SessionError) {
    let result = unsafe bytes.withUnsafeBufferPointer { bytes in
      unsafe nghttp2_session_mem_recv(session, bytes.baseAddress, bytes.count)
    }
    try HTTP2Context.check(Int32(clamping: result))
  }

  /// What happened, in order. `nil` when all has been told.
  package func nextEvent() -> HTTP2Event? { state.nextEvent() }

  /// So many bytes of a request's body were taken: the client may send as many more.
  package func consume(_ id: HTTP2StreamID, _ count: Int) {
    guard count > 0, state.streams[id] != nil else { return }
    unsafe nghttp2_session_consume_stream(session, id, count)
  }

  // MARK: - Answers

  /// Sends an interim head, such as 100.
  ///
  /// - Parameter status: 100 to 199, other than 101 (RFC 9113, 8.6).
  package func inform(_ id: HTTP2StreamID, status: Int) {
    guard let record = state.streams[id], !record.isAnswered, !record.isReset else { return }
    var block = HTTP2FieldBlock()
    block.set(informational: status)
    unsafe block.withPairs { pairs in
      unsafe nghttp2_submit_headers(
        session, UInt8(NGHTTP2_FLAG_NONE.rawValue), id, nil, pairs.baseAddress, pairs.count, nil)
    }
  }

  /// Sends the head of the answer to a request, once.
  ///
  /// - Parameters:
  ///   - framing: of a body whose length is known, that is declared.
  ///   - body: asked for its bytes as there is room for them; kept until the stream is over. `nil` ends the stream.
  ///   - transportSecurity: what `Strict-Transport-Security` says (RFC 6797, 6.1).
  ///   - isEventStream: whether it shares the connection with others whatever the client says of priorities.
  /// - Returns: false when the stream is gone or was answered before.
  @discardableResult
  package func respond(
    _ id: HTTP2StreamID, _ draft: borrowing ResponseDraft, framing: BodyFraming, body: (any HTTP2Body)?,
    isEventStream: Bool = false, transportSecurity: String? = nil
  ) -> Bool {
    guard let record = state.streams[id], !record.isAnswered, !record.isReset else { return false }
    record.isAnswered = true
    record.body = body
    if body != nil { record.waitsSince = state.writes &+ 1 }
    var block = HTTP2FieldBlock()
    block.set(draft, framing: framing)
    if let transportSecurity { block.append(transportSecurity: transportSecurity) }
    let result = unsafe block.withPairs { pairs in
      guard body != nil else { return unsafe nghttp2_submit_response(session, id, pairs.baseAddress, pairs.count, nil) }
      var provider = unsafe SessionCallbacks.provider(of: record)
      unsafe nghttp2_session_set_stream_user_data(session, id, provider.source.ptr)
      return unsafe nghttp2_submit_response(session, id, pairs.baseAddress, pairs.count, &provider)
    }
    guard result == 0 else { return false }
    share(record, isEventStream: isEventStream)
    return true
  }

  /// Without a priority a stream is sent to its end before another is begun, and a client that says nothing of
  /// priorities did not ask for that.
  private func share(_ record: StreamRecord, isEventStream: Bool) {
    guard isEventStream || !record.hasPriority else { return }
    var priority = nghttp2_extpri(urgency: 3, inc: 1)
    unsafe nghttp2_session_change_extpri_stream_priority(session, record.id, &priority, isEventStream ? 1 : 0)
  }

  /// The body of an answer has more, or has ended.
  package func resume(_ id: HTTP2StreamID) {
    // The library finds a stream in a fraction of the time.
    guard let pointer = unsafe nghttp2_session_get_stream_user_data(session, id) else { return }
    let writes = state.writes
    unsafe Unmanaged<StreamRecord>.fromOpaque(pointer)._withUnsafeGuaranteedRef { record in
      if record.waitsSince == nil { record.waitsSince = writes &+ 1 }
    }
    unsafe nghttp2_session_resume_data(session, id)
  }

  /// Ends a stream, so that the client sees that it is not complete. What can be framed of it is framed first. Nothing
  /// is told of it any more.
  package func reset(_ id: HTTP2StreamID, _ code: HTTP2ErrorCode) {
    guard let record = state.streams[id], !record.isReset else { return }
    record.isReset = true
    record.isOver = true
    record.dropsBody = true
    state.tasks.append(.reset(id, code))
  }

  // MARK: - The connection

  /// Asks the client to answer. `pingAnswered` follows.
  package func ping() { state.pings.ask(.owner) }

  /// Takes leave: the client is told to open no more streams, and streams that were under way are still taken.
  ///
  /// Not before the last stream is over, unless `isEarly`: some clients take any GOAWAY for the end of their streams.
  package func announceShutdown(isEarly: Bool = false) {
    switch state.leave {
    case .none: state.leave = .asked(isEarly: isEarly)
    case .asked(let wasEarly): state.leave = .asked(isEarly: isEarly || wasEarly)
    case .announced: break
    case .taken: break
    }
  }

  /// Takes no more streams. The session is over when those that are open are.
  package func shutDown() {
    if case .taken = state.leave { return }
    state.tasks.append(.goAway)
  }

  /// Ends the session, and tells the client why.
  package func terminate(_ code: HTTP2ErrorCode) {
    unsafe nghttp2_session_terminate_session(session, code.rawValue)
  }

  /// The connection is gone: no body is asked for any more, and none is held.
  package func dropBodies() { state.dropBodies() }

  /// Streams that are open.
  package var streamCount: Int { state.streams.count }
  /// Whether the client has acknowledged the settings. One that never does can be ended with `settingsTimeout`.
  package var settingsAreAcknowledged: Bool { state.settingsAreAcknowledged }
  /// Since when a header section is incomplete. Until it is, nothing else of the connection can be read.
  package var sectionBeganAt: MonotonicTime? { state.sectionBeganAt }
  /// What is left of the client's budget, in tokens.
  package var budget: Int { state.budget.tokens }

  /// Whether there is something to write, if the sink takes it.
  package var wantsWrite: Bool { unsafe nghttp2_session_want_write(session) != 0 || hasWork }

  private var hasWork: Bool {
    if !state.tasks.isEmpty || state.pings.isDue { return true }
    if case .asked(let isEarly) = state.leave { return isEarly || state.streams.isEmpty }
    return false
  }

  // MARK: - Output

  /// Writes what is due, and of each body what there is room for, to `sink`.
  ///
  /// - Throws: when the connection must be closed.
  package func write(to sink: any HTTP2Sink, at now: MonotonicTime) throws(HTTP2SessionError) {
    state.pass(to: now)
    state.begin(writingTo: sink)
    defer { state.endWriting() }
    repeat {
      try writeFrames(to: sink)
      judge()
    } while try work()
    noteEnd()
  }

  private func writeFrames(to sink: any HTTP2Sink) throws(HTTP2SessionError) {
    while true {
      var bytes: UnsafePointer<UInt8>?
      let count = unsafe nghttp2_session_mem_send(session, &bytes)
      if count == 0 { return }
      try HTTP2Context.check(Int32(clamping: count))
      unsafe sink.write(Span(_unsafeElements: UnsafeBufferPointer(start: bytes, count: count)))
    }
  }

  /// Submits what had to wait until frames were written. A reset drops what is queued of its stream, and a PING
  /// overtakes bodies, so neither may come earlier.
  ///
  /// - Returns: whether there is more to write.
  private func work() throws(HTTP2SessionError) -> Bool {
    guard hasWork else { return false }
    let tasks = state.tasks
    state.tasks = []
    for task in tasks {
      switch task {
      case .reset(let id, let code):
        guard state.streams[id] != nil else { continue }
        try HTTP2Context.check(unsafe nghttp2_submit_rst_stream(session, 0, id, code.rawValue))
      case .goAway: try goAway()
      case .terminate(let code): terminate(code)
      }
    }
    if case .asked(let isEarly) = state.leave, isEarly || state.streams.isEmpty {
      state.leave = .announced
      state.pings.ask(.shutdown)
      try HTTP2Context.check(unsafe nghttp2_submit_shutdown_notice(session))
    }
    if state.pings.isDue { try sendPing() }
    return true
  }

  private func goAway() throws(HTTP2SessionError) {
    if case .taken = state.leave { return }
    state.leave = .taken
    let last = unsafe nghttp2_session_get_last_proc_stream_id(session)
    try HTTP2Context.check(unsafe nghttp2_submit_goaway(session, 0, last, HTTP2ErrorCode.noError.rawValue, nil, 0))
  }

  private func sendPing() throws(HTTP2SessionError) {
    var number = state.pings.send()
    let result = unsafe withUnsafeBytes(of: &number) { bytes in
      unsafe nghttp2_submit_ping(session, 0, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
    }
    try HTTP2Context.check(result)
  }

  /// Ends a session whose client has used up its budget, or has done what the library lets pass.
  private func judge() {
    guard state.isInTrouble else { return }
    if state.budget.verdict == .retire { state.noteRetiring() }
    if let code = state.decideEnd() { state.tasks.append(.terminate(code)) }
  }

  private func noteEnd() {
    guard state.mayEnd, !hasWork else { return }
    if unsafe nghttp2_session_want_read(session) == 0, unsafe nghttp2_session_want_write(session) == 0 {
      state.noteOver()
    }
  }
}

extension HTTP2FieldBlock {
  /// Lends the section as the library takes it.
  @unsafe @discardableResult
  borrowing func withPairs(_ body: (UnsafeBufferPointer<nghttp2_nv>) -> Int32) -> Int32 {
    bytes.withSpan { span in
      unsafe span.withUnsafeBufferPointer { text in
        // The library copies them.
        let base = unsafe UnsafeMutablePointer(mutating: text.baseAddress)
        let pairs = unsafe entries.map { entry in
          unsafe nghttp2_nv(
            name: base.map { unsafe $0 + entry.name.lowerBound },
            value: base.map { unsafe $0 + entry.value.lowerBound },
            namelen: entry.name.count, valuelen: entry.value.count,
            flags: UInt8((entry.isIndexed ? NGHTTP2_NV_FLAG_NONE : NGHTTP2_NV_FLAG_NO_INDEX).rawValue))
        }
        return unsafe pairs.withUnsafeBufferPointer { unsafe body($0) }
      }
    }
  }
}
