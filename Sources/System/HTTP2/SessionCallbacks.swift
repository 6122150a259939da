import CNghttp2

/// What the library calls, as calls of the session's state. None of them fails but for a section that is too
/// large, and none calls the library.
enum SessionCallbacks {
  @unsafe
  static func set(on callbacks: OpaquePointer) {
    unsafe setReceiving(callbacks)
    unsafe setSending(callbacks)
  }

  @unsafe
  private static func setReceiving(_ callbacks: OpaquePointer) {
    unsafe nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks) { _, frame, context in
      guard let frame = unsafe frame else { return 0 }
      let isRequest = unsafe frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST
      unsafe state(context)?.sectionBegan(frame.pointee.hd.stream_id, isRequest: isRequest)
      return 0
    }
    unsafe nghttp2_session_callbacks_set_on_header_callback(callbacks) {
      _, _, name, nameCount, value, valueCount, _, context in
      let name = unsafe UnsafeBufferPointer(start: name, count: nameCount)
      let value = unsafe UnsafeBufferPointer(start: value, count: valueCount)
      let isTaken = unsafe state(context)?.fieldCame(Span(_unsafeElements: name), Span(_unsafeElements: value))
      return isTaken == false ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue : 0
    }
    unsafe nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) { _, _, id, data, count, context in
      guard let receiver = unsafe state(context), let base = unsafe receiver.input, let data = unsafe data else {
        return 0
      }
      let start = unsafe data - base
      receiver.bodyCame(id, start..<start + count)
      return 0
    }
    unsafe nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, context in
      guard let frame = unsafe frame, let receiver = unsafe state(context) else { return 0 }
      unsafe frameCame(frame, receiver)
      return 0
    }
    unsafe nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, id, code, context in
      unsafe state(context)?.streamClosed(id, HTTP2ErrorCode(rawValue: code))
      return 0
    }
  }

  @unsafe
  private static func setSending(_ callbacks: OpaquePointer) {
    unsafe nghttp2_session_callbacks_set_on_frame_send_callback(callbacks) { _, frame, context in
      guard let frame = unsafe frame else { return 0 }
      // Frames with body were taken care of when they were written.
      let header = unsafe FrameHeader(frame.pointee.hd)
      if header.type == .data, header.length > 0 { return 0 }
      if let sender = unsafe state(context) { unsafe frameWasSent(frame, header, sender) }
      return 0
    }
    unsafe nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks) { _, frame, _, context in
      guard let frame = unsafe frame else { return 0 }
      let header = unsafe FrameHeader(frame.pointee.hd)
      if header.type == .headers { unsafe state(context)?.headWasNotSent(header.stream) }
      return 0
    }
    unsafe nghttp2_session_callbacks_set_send_data_callback(callbacks) { _, frame, header, length, source, context in
      guard let context = unsafe context, let frame = unsafe frame, let header = unsafe header,
        let source = unsafe source
      else { return 0 }
      let isLast = unsafe FrameHeader(frame.pointee.hd).endsStream
      let bytes = unsafe UnsafeBufferPointer(start: header, count: 9)
      unsafe withState(context) { sender in
        unsafe withStream(source) { record in
          unsafe sender.writeFrame(Span(_unsafeElements: bytes), count: length, isLast: isLast, of: record)
        }
      }
      return 0
    }
  }

  /// The body of `record`, as the library asks for it. Must be asked for while the session knows the stream.
  @unsafe
  static func provider(of record: StreamRecord) -> nghttp2_data_provider {
    let pointer = unsafe Unmanaged.passUnretained(record).toOpaque()
    return unsafe nghttp2_data_provider(source: nghttp2_data_source(ptr: pointer)) {
      _, _, _, length, flags, source, context in
      guard let context = unsafe context, let source = unsafe source, let flags = unsafe flags else {
        return Int(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue)
      }
      let framing = unsafe withState(context) { sender in
        unsafe withStream(source) { record in sender.frameBody(of: record, atMost: length) }
      }
      switch framing {
      case .later: return Int(NGHTTP2_ERR_DEFERRED.rawValue)
      case .pause: return Int(NGHTTP2_ERR_PAUSE.rawValue)
      case .frame(let count, let isLast):
        // The bytes stay where they are: `writeFrame` puts the frame together.
        if count > 0 { unsafe flags.pointee |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue }
        if isLast { unsafe flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue }
        return count
      }
    }
  }
}

// Not members: a C function can't know the type that it is a member of.

@unsafe
private func frameCame(_ frame: UnsafePointer<nghttp2_frame>, _ receiver: SessionState) {
  let header = unsafe FrameHeader(frame.pointee.hd)
  let id = header.stream
  switch header.type {
  case .headers: receiver.sectionEnded(id, isLast: header.endsStream)
  case .data:
    let isEmpty = unsafe header.length == frame.pointee.data.padlen
    receiver.dataFrameEnded(id, isEmpty: isEmpty, isLast: header.endsStream)
  case .reset: receiver.resetCame(id)
  case .goAway: receiver.goAwayCame()
  case .settings where header.isAcknowledgement: receiver.settingsWereAcknowledged()
  case .ping where header.isAcknowledgement: receiver.pingWasAnswered(unsafe number(frame))
  default: break
  }
}

@unsafe
private func number(_ frame: UnsafePointer<nghttp2_frame>) -> UInt64 {
  var bytes = unsafe frame.pointee.ping.opaque_data
  return unsafe withUnsafeBytes(of: &bytes) { unsafe $0.loadUnaligned(as: UInt64.self) }
}

@unsafe
private func frameWasSent(_ frame: UnsafePointer<nghttp2_frame>, _ header: FrameHeader, _ sender: SessionState) {
  let id = header.stream
  switch header.type {
  case .headers: sender.headWasSent(id, isLast: header.endsStream)
  case .data: sender.emptyDataWasSent(id, isLast: header.endsStream)
  case .reset: sender.resetWasSent(id, HTTP2ErrorCode(rawValue: unsafe frame.pointee.rst_stream.error_code))
  case .goAway: sender.goAwayWasSent(HTTP2ErrorCode(rawValue: unsafe frame.pointee.goaway.error_code))
  default: break
  }
}

// Both live longer than the call, so that nothing has to be counted in what is called for every event.

@unsafe @inline(__always)
private func withStream<Result>(
  _ source: UnsafePointer<nghttp2_data_source>, _ body: (StreamRecord) -> Result
) -> Result {
  unsafe Unmanaged<StreamRecord>.fromOpaque(source.pointee.ptr)._withUnsafeGuaranteedRef { body($0) }
}

@unsafe @inline(__always)
private func withState<Result>(_ context: UnsafeMutableRawPointer, _ body: (SessionState) -> Result) -> Result {
  unsafe Unmanaged<SessionState>.fromOpaque(context)._withUnsafeGuaranteedRef { body($0) }
}

@unsafe
private func state(_ context: UnsafeMutableRawPointer?) -> SessionState? {
  unsafe context.map { unsafe Unmanaged<SessionState>.fromOpaque($0).takeUnretainedValue() }
}

extension FrameHeader {
  fileprivate init(_ header: nghttp2_frame_hd) {
    self.init(type: header.type, flags: header.flags, stream: header.stream_id, length: header.length)
  }
}
