import Bytes
import CNghttp2
package import HTTP

/// What happened on a client's session.
package enum HTTP2ClientEvent: Sendable {
  /// The head of an answer. Interim ones are not told.
  case head(HTTP2StreamID, status: Int, Fields)
  /// A piece of an answer's body stands at `range` of the input that was received last.
  case data(HTTP2StreamID, Range<Int>)
  /// The answer is complete.
  case ended(HTTP2StreamID)
  /// There is no more of the answer, and it is not complete. With `refusedStream` nothing was done at the server.
  case reset(HTTP2StreamID, HTTP2ErrorCode)
  /// The server takes no more requests.
  case goAway(HTTP2ErrorCode)
  /// Nothing more is read or written.
  case over
}

/// A request as a client makes it.
package struct HTTP2Request: Sendable {
  package var method: HTTP.Method
  /// `https` or `http`.
  package var scheme: String
  package var authority: String
  /// In origin form.
  package var path: String
  /// Fields about one HTTP/1.1 connection, `Host` and `Content-Length` among them are left out.
  package var fields: Fields
  package var body: [UInt8]

  package init(
    method: HTTP.Method = .get, scheme: String = "https", authority: String, path: String, fields: Fields = Fields(),
    body: [UInt8] = []
  ) {
    self.method = method
    self.scheme = scheme
    self.authority = authority
    self.path = path
    self.fields = fields
    self.body = body
  }
}

/// The client's side of one HTTP/2 connection, for tools: requests in, answers out. Knows no socket, no loop and no
/// clock.
///
/// Windows are given back at once. As with ``HTTP2Session``, events are taken after each `receive` and `write`. Lives
/// on one loop.
@safe
package struct HTTP2ClientSession: ~Copyable {
  private let session: OpaquePointer
  private let state: ClientSessionState
  /// Of a stream and of the connection, in bytes.
  private static let window = 16 << 20

  package init() throws(HTTP2SessionError) {
    let state = ClientSessionState()
    unsafe session = try Self.make(state)
    self.state = state
  }

  deinit {
    unsafe nghttp2_session_del(session)
  }

  @unsafe
  private static func make(_ state: ClientSessionState) throws(HTTP2SessionError) -> OpaquePointer {
    var callbacks: OpaquePointer?
    guard unsafe nghttp2_session_callbacks_new(&callbacks) == 0, let callbacks = unsafe callbacks else {
      throw .outOfMemory
    }
    defer { unsafe nghttp2_session_callbacks_del(callbacks) }
    unsafe ClientSessionState.set(on: callbacks)
    var session: OpaquePointer?
    let pointer = unsafe Unmanaged.passUnretained(state).toOpaque()
    try HTTP2Context.check(unsafe nghttp2_session_client_new(&session, callbacks, pointer))
    guard let session = unsafe session else { throw .outOfMemory }
    let entries = [
      nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_ENABLE_PUSH.rawValue), value: 0),
      nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue), value: UInt32(window)),
    ]
    let results = unsafe [
      nghttp2_submit_settings(session, 0, entries, entries.count),
      nghttp2_session_set_local_window_size(session, 0, 0, Int32(window)),
    ]
    guard results.allSatisfy({ $0 == 0 }) else {
      unsafe nghttp2_session_del(session)
      throw .outOfMemory
    }
    return unsafe session
  }

  /// Makes a request.
  ///
  /// - Returns: its stream.
  /// - Throws: when the connection takes no more requests.
  package func request(_ request: HTTP2Request) throws(HTTP2SessionError) -> HTTP2StreamID {
    var block = HTTP2FieldBlock()
    block.set(
      request: request.method, scheme: request.scheme, authority: request.authority, path: request.path,
      fields: request.fields, length: request.body.isEmpty ? nil : request.body.count)
    let body = request.body.isEmpty ? nil : ClientBody(request.body)
    let id = unsafe block.withPairs { pairs in
      guard let body else {
        return unsafe nghttp2_submit_request(session, nil, pairs.baseAddress, pairs.count, nil, nil)
      }
      var provider = unsafe ClientSessionState.provider(of: body)
      return unsafe nghttp2_submit_request(session, nil, pairs.baseAddress, pairs.count, &provider, nil)
    }
    try HTTP2Context.check(id)
    state.opened(id, body)
    return id
  }

  /// Gives a request up. Nothing is told of it any more.
  package func cancel(_ id: HTTP2StreamID) {
    guard state.forget(id) else { return }
    unsafe nghttp2_submit_rst_stream(session, 0, id, HTTP2ErrorCode.cancel.rawValue)
  }

  /// Takes what the server sent.
  ///
  /// - Throws: when the connection must be closed.
  package func receive(_ input: Span<UInt8>) throws(HTTP2SessionError) {
    let result = unsafe input.withUnsafeBufferPointer { bytes in
      unsafe state.input = bytes.baseAddress
      return unsafe nghttp2_session_mem_recv(session, bytes.baseAddress, bytes.count)
    }
    unsafe state.input = nil
    try HTTP2Context.check(Int32(clamping: result))
    noteEnd()
  }

  package func nextEvent() -> HTTP2ClientEvent? { state.nextEvent() }

  package var wantsWrite: Bool { unsafe nghttp2_session_want_write(session) != 0 }

  /// Writes what is due to `sink`.
  ///
  /// - Throws: when the connection must be closed.
  package func write(to sink: any HTTP2Sink) throws(HTTP2SessionError) {
    while true {
      var bytes: UnsafePointer<UInt8>?
      let count = unsafe nghttp2_session_mem_send(session, &bytes)
      if count == 0 { break }
      try HTTP2Context.check(Int32(clamping: count))
      unsafe sink.write(Span(_unsafeElements: UnsafeBufferPointer(start: bytes, count: count)))
    }
    noteEnd()
  }

  private func noteEnd() {
    if unsafe nghttp2_session_want_read(session) == 0, unsafe nghttp2_session_want_write(session) == 0 {
      state.noteOver()
    }
  }
}
