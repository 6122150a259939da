import CNghttp2
import HTTP

/// What the sessions of a loop have in common: settings, and the library's options and callbacks, made once.
@safe
package final class HTTP2Context {
  package let settings: HTTP2Settings
  let options: OpaquePointer
  let callbacks: OpaquePointer

  /// Frames of acknowledgements that a client may leave unread, header frames that one section may come in, and entries
  /// of a SETTINGS frame.
  private static let outboundAcknowledgements = 100
  private static let continuations = 8
  private static let settingsEntries = 32
  /// The head of an answer, in bytes: what a backend may send and the gateway adds. The library's own limit is smaller.
  private static let answerHead = 256 * 1024
  /// The library's own limit of resets is only a net below ``FrameBudget``, which tells clients that leave from
  /// attacks.
  private static let resetBurst: UInt64 = 10_000
  private static let resetsPerSecond: UInt64 = 1000

  /// - Throws: `HTTP2SessionError.outOfMemory`.
  package init(settings: HTTP2Settings = HTTP2Settings()) throws(HTTP2SessionError) {
    var options: OpaquePointer?
    var callbacks: OpaquePointer?
    guard unsafe nghttp2_option_new(&options) == 0, let options = unsafe options else { throw .outOfMemory }
    guard unsafe nghttp2_session_callbacks_new(&callbacks) == 0, let callbacks = unsafe callbacks else {
      unsafe nghttp2_option_del(options)
      throw .outOfMemory
    }
    self.settings = settings
    unsafe self.options = unsafe options
    unsafe self.callbacks = unsafe callbacks
    unsafe Self.set(options)
    unsafe SessionCallbacks.set(on: callbacks)
  }

  deinit {
    unsafe nghttp2_option_del(options)
    unsafe nghttp2_session_callbacks_del(callbacks)
  }

  @unsafe
  private static func set(_ options: OpaquePointer) {
    unsafe nghttp2_option_set_no_auto_window_update(options, 1)
    unsafe nghttp2_option_set_no_closed_streams(options, 1)
    unsafe nghttp2_option_set_max_outbound_ack(options, outboundAcknowledgements)
    unsafe nghttp2_option_set_max_settings(options, settingsEntries)
    unsafe nghttp2_option_set_max_continuations(options, continuations)
    unsafe nghttp2_option_set_stream_reset_rate_limit(options, resetBurst, resetsPerSecond)
    unsafe nghttp2_option_set_builtin_recv_extension_type(options, UInt8(NGHTTP2_PRIORITY_UPDATE.rawValue))
    unsafe nghttp2_option_set_max_send_header_block_length(options, answerHead)
    unsafe nghttp2_option_set_max_deflate_dynamic_table_size(options, 4096)
  }

  /// A session that tells `state` what happens, which must outlive it.
  @unsafe
  func makeSession(_ state: SessionState) throws(HTTP2SessionError) -> OpaquePointer {
    var session: OpaquePointer?
    let pointer = unsafe Unmanaged.passUnretained(state).toOpaque()
    try Self.check(unsafe nghttp2_session_server_new2(&session, callbacks, pointer, options))
    guard let session = unsafe session else { throw .outOfMemory }
    do throws(HTTP2SessionError) { try unsafe begin(session) } catch {
      unsafe nghttp2_session_del(session)
      throw error
    }
    return unsafe session
  }

  /// Submits the server's preface: its SETTINGS frame and the connection's window.
  @unsafe
  private func begin(_ session: OpaquePointer) throws(HTTP2SessionError) {
    let entries = [
      Self.entry(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, settings.streams),
      Self.entry(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, settings.streamWindow),
      Self.entry(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, settings.head.head),
      Self.entry(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1),
    ]
    try Self.check(unsafe nghttp2_submit_settings(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), entries, entries.count))
    let window = Int32(clamping: settings.connectionWindow)
    try Self.check(unsafe nghttp2_session_set_local_window_size(session, 0, 0, window))
  }

  private static func entry(_ id: nghttp2_settings_id, _ value: Int) -> nghttp2_settings_entry {
    nghttp2_settings_entry(settings_id: Int32(id.rawValue), value: UInt32(clamping: value))
  }

  /// Throws what a negative result of the library's means.
  static func check(_ result: Int32) throws(HTTP2SessionError) {
    guard result < 0 else { return }
    switch result {
    case Int32(NGHTTP2_ERR_NOMEM.rawValue): throw .outOfMemory
    case Int32(NGHTTP2_ERR_BAD_CLIENT_MAGIC.rawValue): throw .badPreface
    case Int32(NGHTTP2_ERR_FLOODED.rawValue): throw .flooded
    default: throw .library(unsafe String(cString: nghttp2_strerror(result)))
    }
  }
}
