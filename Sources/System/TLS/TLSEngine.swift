import COpenSSL
import Loop
import Sockets

/// One connection's `SSL` with its way to the socket: the only place that calls it. Owns neither the descriptor nor any
/// knowledge of the loop, and calls nobody back.
@safe
struct TLSEngine: ~Copyable {
  enum Step {
    case done
    case wantsRead
    case wantsWrite
    case failed(TLSError)
  }

  /// Why reading stopped.
  enum ReadStop {
    /// No more for now.
    case empty
    /// OpenSSL has something to say before it reads on.
    case wantsWrite
    /// The peer's close_notify.
    case finished
    case failed(SocketError)
  }

  /// Why writing stopped before the last byte, or that it did not.
  enum WriteStop {
    case none
    case wantsWrite
    case wantsRead
    case failed(SocketError)
  }

  /// What one read of the socket may bring: a record of the largest size. With less room than this the socket isn't
  /// asked again, so that whatever came can be handed over and none of it stays behind where no event tells of it.
  static let roomForOneRead = 20 * 1024

  private let ssl: OpaquePointer
  private let state: UnsafeMutablePointer<SocketState>

  private init(ssl: OpaquePointer, state: UnsafeMutablePointer<SocketState>) {
    unsafe self.ssl = unsafe ssl
    unsafe self.state = unsafe state
  }

  /// - Parameters:
  ///   - serverName: whom to ask for and, unless the context says no, to verify; `nil` on the accepting side.
  ///   - tickets: the keys of an accepting side's tickets, instead of the context's own.
  static func make(
    _ context: TLSContext, descriptor: Int32, serverName: ServerName?, tickets: TicketKeys? = nil
  ) throws(TLSError) -> TLSEngine {
    ErrorQueue.clear()
    guard let ssl = unsafe SSL_new(context.context) else { throw .library(ErrorQueue.takeReason()) }
    let state = UnsafeMutablePointer<SocketState>.allocate(capacity: 1)
    unsafe state.initialize(
      to: SocketState(
        descriptor: descriptor, sessions: context.sessions, serverName: serverName?.text ?? "",
        identities: context.server, tickets: tickets ?? context.server?.tickets))
    // From here on its `deinit` cleans up.
    let engine = unsafe TLSEngine(ssl: ssl, state: state)
    try engine.prepare(context, serverName: serverName)
    return engine
  }

  private func prepare(_ context: TLSContext, serverName: ServerName?) throws(TLSError) {
    guard let bio = unsafe SocketBIO.make(state) else { throw .library(ErrorQueue.takeReason()) }
    unsafe SSL_set_bio(ssl, bio, bio)
    switch context.role {
    case .server: unsafe SSL_set_accept_state(ssl)
    case .client:
      unsafe SSL_set_connect_state(ssl)
      if let serverName { try expect(serverName, verified: context.verifiesPeer) }
      unsafe context.sessions?.offer(on: ssl, for: serverName?.text ?? "")
    }
  }

  deinit {
    // A connection that ends without both alerts is no reason to give its session up (RFC 8446, section 6.1).
    if unsafe SSL_is_init_finished(ssl) == 1 { unsafe SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN) }
    unsafe SSL_free(ssl)
    unsafe state.deinitialize(count: 1)
    unsafe state.deallocate()
  }

  private func expect(_ serverName: ServerName, verified: Bool) throws(TLSError) {
    var worked = true
    switch serverName {
    case .name(let name):
      unsafe name.withCString { text in
        let pointer = unsafe UnsafeMutableRawPointer(mutating: text)
        let type = Int(TLSEXT_NAMETYPE_host_name)
        worked = unsafe SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, type, pointer) == 1
        guard verified, worked else { return }
        unsafe SSL_set_hostflags(ssl, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS))
        worked = unsafe SSL_set1_host(ssl, text) == 1
      }
    case .address(let address):
      if verified { worked = unsafe X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), address) == 1 }
    }
    if !worked { throw .setting("\"\(serverName.text)\" can't be verified: \(ErrorQueue.takeReason())") }
  }

  // MARK: - Handshake

  func shakeHands() -> Step {
    ErrorQueue.clear()
    unsafe state.pointee.isDrained = false
    let result = unsafe SSL_do_handshake(ssl)
    if result == 1 { return .done }
    switch unsafe SSL_get_error(ssl, result) {
    case SSL_ERROR_WANT_READ: return .wantsRead
    case SSL_ERROR_WANT_WRITE: return .wantsWrite
    case SSL_ERROR_SSL: return .failed(handshakeFailure(ErrorQueue.takeCode()))
    default:
      ErrorQueue.clear()
      let error = unsafe state.pointee.error
      return .failed(error == 0 ? .closed : .socket(SocketError(SystemError(code: error))))
    }
  }

  private func handshakeFailure(_ code: UInt) -> TLSError {
    if ErrorQueue.isPlainRequest(code) { return .plainRequest }
    let verdict = unsafe SSL_get_verify_result(ssl)
    guard verdict != Int(X509_V_OK), let text = unsafe X509_verify_cert_error_string(verdict) else {
      return ErrorQueue.alert(code).map { .alert($0) } ?? .handshake(ErrorQueue.reason(code))
    }
    return unsafe .certificate(String(cString: text))
  }

  /// Whether the handshake left half of itself out, thanks to a session from before.
  var isResumed: Bool { unsafe SSL_session_reused(ssl) == 1 }
  /// `TLSv1.3`, `TLSv1.2`.
  var version: String { unsafe String(cString: SSL_get_version(ssl)) }
  /// What both sides agreed to speak inside (RFC 7301); empty when the client asked for nothing.
  var applicationProtocol: String {
    var start: UnsafePointer<UInt8>?
    var count: UInt32 = 0
    unsafe SSL_get0_alpn_selected(ssl, &start, &count)
    return unsafe String(decoding: UnsafeBufferPointer(start: start, count: Int(count)), as: UTF8.self)
  }
  /// Bytes are here already that no event of the socket will tell of.
  var hasPending: Bool { unsafe SSL_has_pending(ssl) == 1 }

  /// The certificate that the peer has shown, which was found good; `nil` when it showed none.
  var peerCertificate: PeerCertificate? {
    guard let certificate = unsafe SSL_get1_peer_certificate(ssl) else { return nil }
    defer { unsafe X509_free(certificate) }
    // Those it was found good by, not whatever was sent along. The first is its own.
    let others = unsafe SSL_get0_verified_chain(ssl)
    let chain = (1..<max(1, unsafe OPENSSL_sk_num(others))).map { index in
      unsafe Certificate.encoded(OpaquePointer(OPENSSL_sk_value(others, index)))
    }
    let digest = unsafe Certificate.digest(of: certificate)
    return unsafe PeerCertificate(
      der: Certificate.encoded(certificate), chain: chain, subject: Certificate.subject(of: certificate),
      firstName: Certificate.firstName(of: certificate), digest: digest)
  }

  var cipher: String {
    unsafe SSL_CIPHER_get_name(SSL_get_current_cipher(ssl)).map { unsafe String(cString: $0) } ?? ""
  }

  // MARK: - Data

  /// Decrypts what the socket has, up to `capacity` bytes (of which a read of the socket needs 20 KiB).
  ///
  /// One `recv` as long as the socket gives less than it was asked for. Afterwards nothing is left behind but the
  /// beginning of a record whose end has not come.
  /// - Returns: how many bytes were written to `buffer`; with some of them `stop` may already tell the end.
  func read(into buffer: UnsafeMutableRawPointer, capacity: Int, stop: inout ReadStop) -> Int {
    ErrorQueue.clear()
    unsafe state.pointee.isDrained = false
    var total = 0
    repeat {
      if capacity - total < Self.roomForOneRead { unsafe state.pointee.isDrained = true }
      let count = unsafe SSL_read(ssl, buffer + total, Int32(clamping: capacity - total))
      guard count > 0 else {
        stop = whyReadingStopped(count)
        return total
      }
      total += Int(count)
    } while unsafe total < capacity && (!state.pointee.isDrained || SSL_has_pending(ssl) == 1)
    stop = .empty
    return total
  }

  private func whyReadingStopped(_ result: Int32) -> ReadStop {
    switch unsafe SSL_get_error(ssl, result) {
    case SSL_ERROR_WANT_READ: return .empty
    case SSL_ERROR_WANT_WRITE: return .wantsWrite
    case SSL_ERROR_ZERO_RETURN: return .finished
    default: return .failed(takeFailure())
    }
  }

  /// Encrypts and sends as much of `bytes` as the socket takes.
  ///
  /// What was not taken may be encrypted already: the next call must begin with the same bytes, at least as many.
  /// - Returns: how many bytes were taken.
  func write(_ bytes: Span<UInt8>, stop: inout WriteStop) -> Int {
    ErrorQueue.clear()
    stop = .none
    var total = 0
    while total < bytes.count {
      let rest = bytes.extracting(droppingFirst: total)
      let count = unsafe rest.withUnsafeBufferPointer { buffer in
        unsafe SSL_write(ssl, buffer.baseAddress, Int32(clamping: buffer.count))
      }
      guard count > 0 else {
        stop = whyWritingStopped(count)
        return total
      }
      total += Int(count)
    }
    return total
  }

  /// Whether more follows at once, so that the kernel may wait with what is written; end it with FIN.
  func setMoreFollows(_ follows: Bool) { unsafe state.pointee.hasMore = follows }

  /// Tells the peer that nothing follows (close_notify).
  func finish() -> WriteStop {
    ErrorQueue.clear()
    let result = unsafe SSL_shutdown(ssl)
    return result >= 0 ? .none : whyWritingStopped(result)
  }

  private func whyWritingStopped(_ result: Int32) -> WriteStop {
    switch unsafe SSL_get_error(ssl, result) {
    case SSL_ERROR_WANT_READ: return .wantsRead
    case SSL_ERROR_WANT_WRITE: return .wantsWrite
    default: return .failed(takeFailure())
    }
  }

  private func takeFailure() -> SocketError {
    let code = ErrorQueue.takeCode()
    if let alert = ErrorQueue.alert(code) { return .alert(alert) }
    let error = unsafe state.pointee.error
    if error != 0 { return SocketError(SystemError(code: error)) }
    if unsafe state.pointee.hasEnded, code == 0 { return .truncated }
    return .tls(ErrorQueue.reason(code))
  }

  // MARK: - Sessions

  /// Keeps a session that OpenSSL has made for `ssl`. Returns whether its reference was taken over.
  @unsafe
  static func keep(_ session: OpaquePointer, of ssl: OpaquePointer) -> Bool {
    guard let state = unsafe SocketBIO.state(of: SSL_get_rbio(ssl)), let sessions = unsafe state.pointee.sessions else {
      return false
    }
    unsafe sessions.keep(session, for: state.pointee.serverName)
    return true
  }
}
