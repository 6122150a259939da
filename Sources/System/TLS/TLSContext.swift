import COpenSSL
import Glibc
import Loop

/// What many connections have in common: trusted certificates, an identity, and for clients the latest session.
///
/// May be shared by loops. TLS 1.2 is the oldest version that is spoken, renegotiation is refused.
@safe
package final class TLSContext: @unchecked Sendable {
  /// The one file that the system's certificates may be in; those in its folder are looked up when one is needed.
  package static var systemRootFile: String? {
    let variable = unsafe X509_get_default_cert_file_env().flatMap { unsafe getenv($0) }
    return unsafe (variable ?? UnsafeMutablePointer(mutating: X509_get_default_cert_file()))
      .map { unsafe String(cString: $0) }
  }

  enum Role { case client, server }

  // Counted and locked by OpenSSL; not changed once made.
  let context: OpaquePointer
  let role: Role
  let verifiesPeer: Bool
  /// Instead of the name that was dialled.
  let serverName: String?
  let sessions: SessionStore?

  /// - Throws: `TLSError.file` naming the file that can't be used.
  package init(client settings: TLSClientSettings) throws(TLSError) {
    unsafe context = try Self.make(TLS_client_method())
    role = .client
    verifiesPeer = settings.verifiesPeer
    serverName = settings.serverName
    sessions = SessionStore()
    if let name = serverName, ServerName(name) == nil { throw .setting("\"\(name)\" is not the name of a server") }
    if settings.verifiesPeer { try trust(settings.roots) }
    unsafe SSL_CTX_set_verify(context, settings.verifiesPeer ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nil)
    if let identity = settings.identity { try use(identity) }
    keepSessions()
  }

  /// - Throws: `TLSError.file` naming the file that can't be used.
  package init(server settings: TLSServerSettings) throws(TLSError) {
    unsafe context = try Self.make(TLS_server_method())
    role = .server
    verifiesPeer = settings.clientRoots != nil
    serverName = nil
    sessions = nil
    if let roots = settings.clientRoots {
      try trust(roots)
      unsafe SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
    }
    try use(settings.identity)
    if settings.newestVersion == .version12 {
      unsafe SSL_CTX_ctrl(context, SSL_CTRL_SET_MAX_PROTO_VERSION, Int(TLS1_2_VERSION), nil)
    }
    // Clients keep their sessions themselves, as tickets; the name marks them as this context's.
    let name: StaticString = "fermata"
    _ = unsafe SSL_CTX_set_session_id_context(context, name.utf8Start, UInt32(name.utf8CodeUnitCount))
    unsafe SSL_CTX_ctrl(context, SSL_CTRL_SET_SESS_CACHE_MODE, Int(SSL_SESS_CACHE_OFF), nil)
  }

  deinit {
    unsafe SSL_CTX_free(context)
  }

  @unsafe
  private static func make(_ method: OpaquePointer?) throws(TLSError) -> OpaquePointer {
    guard let context = unsafe SSL_CTX_new(method) else { throw .library(ErrorQueue.takeReason()) }
    unsafe SSL_CTX_ctrl(context, SSL_CTRL_SET_MIN_PROTO_VERSION, Int(TLS1_2_VERSION), nil)
    unsafe SSL_CTX_set_options(context, fermata_tls_no_renegotiation)
    // One `recv` for a record instead of two (its header, then the rest).
    unsafe SSL_CTX_ctrl(context, SSL_CTRL_SET_READ_AHEAD, 1, nil)
    // An idle connection holds no buffers; what waits for the socket may lie elsewhere when it is tried again.
    let modes =
      SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS
      | SSL_MODE_AUTO_RETRY
    unsafe SSL_CTX_ctrl(context, SSL_CTRL_MODE, Int(modes), nil)
    // A key that is encrypted is refused; nobody is asked at the terminal.
    unsafe SSL_CTX_set_default_passwd_cb(context) { _, _, _, _ in 0 }
    return unsafe context
  }

  private func trust(_ roots: String?) throws(TLSError) {
    ErrorQueue.clear()
    guard let roots else {
      guard unsafe SSL_CTX_set_default_verify_paths(context) == 1 else {
        throw .library("the system's certificates: \(ErrorQueue.takeReason())")
      }
      // A folder or file that does not exist is no failure, but leaves its error.
      ErrorQueue.clear()
      return
    }
    guard unsafe SSL_CTX_load_verify_file(context, roots) == 1 else {
      throw .file(roots, reason: ErrorQueue.takeReason())
    }
  }

  private func use(_ identity: TLSIdentity) throws(TLSError) {
    ErrorQueue.clear()
    guard unsafe SSL_CTX_use_certificate_chain_file(context, identity.certificate) == 1 else {
      throw .file(identity.certificate, reason: ErrorQueue.takeReason())
    }
    guard unsafe SSL_CTX_use_PrivateKey_file(context, identity.key, SSL_FILETYPE_PEM) == 1,
      unsafe SSL_CTX_check_private_key(context) == 1
    else { throw .file(identity.key, reason: ErrorQueue.takeReason()) }
  }

  private func keepSessions() {
    // Our own store knows the name that was checked; OpenSSL's does not.
    let mode = SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_LOOKUP | SSL_SESS_CACHE_NO_INTERNAL_STORE
    unsafe SSL_CTX_ctrl(context, SSL_CTRL_SET_SESS_CACHE_MODE, Int(mode), nil)
    unsafe SSL_CTX_sess_set_new_cb(context) { ssl, session in
      guard let ssl = unsafe ssl, let session = unsafe session else { return 0 }
      // 1: the reference is ours now.
      return unsafe TLSEngine.keep(session, of: ssl) ? 1 : 0
    }
  }
}
