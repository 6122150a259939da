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
  /// Of a server.
  let server: ServerIdentities?

  /// - Throws: `TLSError.file` naming the file that can't be used.
  package init(client settings: TLSClientSettings) throws(TLSError) {
    unsafe context = try OpenSSLContext.make(TLS_client_method())
    role = .client
    verifiesPeer = settings.verifiesPeer
    serverName = settings.serverName
    sessions = SessionStore()
    server = nil
    if let name = serverName, ServerName(name) == nil { throw .setting("\"\(name)\" is not the name of a server") }
    if settings.verifiesPeer { try unsafe OpenSSLContext.trust(settings.roots, in: context) }
    unsafe SSL_CTX_set_verify(context, settings.verifiesPeer ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nil)
    if let identity = settings.identity { try unsafe OpenSSLContext.use(identity, in: context) }
    try offer(settings.protocols)
    keepSessions()
  }

  private func offer(_ protocols: [String]) throws(TLSError) {
    guard !protocols.isEmpty else { return }
    guard protocols.allSatisfy({ 1...255 ~= $0.utf8.count }) else { throw .setting("a protocol has 1 to 255 bytes") }
    // Each behind its length.
    let list = protocols.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
    // 0: it was taken.
    guard unsafe SSL_CTX_set_alpn_protos(context, list, UInt32(list.count)) == 0 else {
      throw .setting("these protocols can't be offered: \(protocols.joined(separator: ", "))")
    }
  }

  /// - Throws: `TLSError.file` naming the file that can't be used.
  package init(server settings: TLSServerSettings) throws(TLSError) {
    let server = try ServerIdentities(settings)
    unsafe context = server.retainFirst()
    role = .server
    verifiesPeer = settings.clientRoots != nil && settings.clientCertificates != .none
    serverName = nil
    sessions = nil
    self.server = server
  }

  /// When each of a server's certificates expires, in seconds since 1970, and the file it is in.
  package var expiries: [(certificate: String, at: Int64)] { server?.expiries ?? [] }

  deinit {
    unsafe SSL_CTX_free(context)
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
