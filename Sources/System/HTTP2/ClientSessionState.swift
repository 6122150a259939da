import Bytes
import CNghttp2
import HTTP

/// The body of a request, kept until its stream is over.
final class ClientBody {
  private let bytes: [UInt8]
  private var offset = 0

  init(_ bytes: [UInt8]) {
    self.bytes = bytes
  }

  /// Copies what comes next.
  ///
  /// - Returns: how many bytes, and whether they are the last.
  @unsafe
  func read(into buffer: UnsafeMutablePointer<UInt8>, capacity: Int) -> (count: Int, isLast: Bool) {
    let count = min(capacity, bytes.count - offset)
    unsafe bytes.withUnsafeBufferPointer { source in
      if count > 0, let base = source.baseAddress {
        unsafe buffer.update(from: base + offset, count: count)
      }
    }
    offset += count
    return (count, offset == bytes.count)
  }
}

/// What a client's session knows, and what its library tells it.
@safe
final class ClientSessionState {
  private struct Stream {
    var body: ClientBody?
    var head = HTTP2ResponseBuilder()
    var hasHead = false
    var hasEnded = false
  }

  private var streams: [HTTP2StreamID: Stream] = [:]
  private var events = Queue<HTTP2ClientEvent>()
  private var overIsTold = false
  /// The beginning of what is being received.
  var input: UnsafePointer<UInt8>?

  func nextEvent() -> HTTP2ClientEvent? { events.popFirst() }

  func opened(_ id: HTTP2StreamID, _ body: ClientBody?) { streams[id] = Stream(body: body) }

  /// - Returns: whether the stream was open.
  func forget(_ id: HTTP2StreamID) -> Bool {
    guard let stream = streams[id], !stream.hasEnded else { return false }
    // Its body is needed until the library has let it go.
    streams[id]?.hasEnded = true
    return true
  }

  func noteOver() {
    guard !overIsTold else { return }
    overIsTold = true
    events.append(.over)
  }

  // MARK: - What comes

  private func fieldCame(_ id: HTTP2StreamID, _ name: Span<UInt8>, _ value: Span<UInt8>) {
    if streams[id]?.hasHead == false { streams[id]?.head.add(name, value) }
  }

  private func sectionEnded(_ id: HTTP2StreamID, isLast: Bool) {
    guard var stream = streams[id], !stream.hasEnded else { return }
    if !stream.hasHead {
      // An interim head is followed by another.
      if stream.head.status >= 200 {
        stream.hasHead = true
        events.append(.head(id, status: stream.head.status, stream.head.fields))
      }
      stream.head = HTTP2ResponseBuilder()
      streams[id] = stream
    }
    if isLast { bodyEnded(id) }
  }

  private func bodyCame(_ id: HTTP2StreamID, _ range: Range<Int>) {
    if let stream = streams[id], !stream.hasEnded { events.append(.data(id, range)) }
  }

  private func bodyEnded(_ id: HTTP2StreamID) {
    guard let stream = streams[id], !stream.hasEnded else { return }
    streams[id]?.hasEnded = true
    events.append(.ended(id))
  }

  private func streamClosed(_ id: HTTP2StreamID, _ code: HTTP2ErrorCode) {
    guard let stream = streams.removeValue(forKey: id), !stream.hasEnded else { return }
    events.append(.reset(id, code))
  }

  // MARK: - The library's calls

  @unsafe
  static func set(on callbacks: OpaquePointer) {
    unsafe nghttp2_session_callbacks_set_on_header_callback(callbacks) {
      _, frame, name, nameCount, value, valueCount, _, context in
      guard let frame = unsafe frame else { return 0 }
      let name = unsafe UnsafeBufferPointer(start: name, count: nameCount)
      let value = unsafe UnsafeBufferPointer(start: value, count: valueCount)
      unsafe client(context)?.fieldCame(
        frame.pointee.hd.stream_id, Span(_unsafeElements: name), Span(_unsafeElements: value))
      return 0
    }
    unsafe nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) { _, _, id, data, count, context in
      guard let state = unsafe client(context), let base = unsafe state.input, let data = unsafe data else { return 0 }
      let start = unsafe data - base
      state.bodyCame(id, start..<start + count)
      return 0
    }
    unsafe nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, context in
      guard let frame = unsafe frame, let state = unsafe client(context) else { return 0 }
      let (id, isLast) = unsafe (frame.pointee.hd.stream_id, frame.pointee.hd.flags & 1 != 0)
      switch unsafe FrameHeader.FrameType(rawValue: frame.pointee.hd.type) {
      case .headers: state.sectionEnded(id, isLast: isLast)
      case .data: if isLast { state.bodyEnded(id) }
      case .goAway: unsafe state.events.append(.goAway(HTTP2ErrorCode(rawValue: frame.pointee.goaway.error_code)))
      default: break
      }
      return 0
    }
    unsafe nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, id, code, context in
      unsafe client(context)?.streamClosed(id, HTTP2ErrorCode(rawValue: code))
      return 0
    }
  }

  /// `body` as the library asks for it. The state keeps it as long.
  @unsafe
  static func provider(of body: ClientBody) -> nghttp2_data_provider {
    let pointer = unsafe Unmanaged.passUnretained(body).toOpaque()
    return unsafe nghttp2_data_provider(source: nghttp2_data_source(ptr: pointer)) {
      _, _, buffer, capacity, flags, source, _ in
      guard let buffer = unsafe buffer, let flags = unsafe flags, let source = unsafe source else {
        return Int(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue)
      }
      let body = unsafe Unmanaged<ClientBody>.fromOpaque(source.pointee.ptr).takeUnretainedValue()
      let (count, isLast) = unsafe body.read(into: buffer, capacity: capacity)
      if isLast { unsafe flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue }
      return count
    }
  }
}

@unsafe
private func client(_ context: UnsafeMutableRawPointer?) -> ClientSessionState? {
  unsafe context.map { unsafe Unmanaged<ClientSessionState>.fromOpaque($0).takeUnretainedValue() }
}
