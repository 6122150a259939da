import COpenSSL

/// How OpenSSL's contexts of both sides are made, and what is read into them.
enum OpenSSLContext {
  /// A new context with what both sides have in common.
  @unsafe
  static func make(_ method: OpaquePointer?) throws(TLSError) -> OpaquePointer {
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

  @unsafe
  static func trust(_ roots: String?, in context: OpaquePointer) throws(TLSError) {
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

  @unsafe
  static func use(_ identity: TLSIdentity, in context: OpaquePointer) throws(TLSError) {
    ErrorQueue.clear()
    guard unsafe SSL_CTX_use_certificate_chain_file(context, identity.certificate) == 1 else {
      throw .file(identity.certificate, reason: ErrorQueue.takeReason())
    }
    guard unsafe SSL_CTX_use_PrivateKey_file(context, identity.key, SSL_FILETYPE_PEM) == 1,
      unsafe SSL_CTX_check_private_key(context) == 1
    else { throw .file(identity.key, reason: ErrorQueue.takeReason()) }
  }
}
