import COpenSSL

/// What OpenSSL asks an accepting side during a handshake. What it is answered by is found through the connection's way to
/// its socket.
enum ServerCallbacks {
  /// The client's first message: chooses the certificate by the name that is asked for (RFC 6066, section 3). Before OpenSSL
  /// looks for a session, so that a session is looked for in the scope of that certificate.
  @unsafe static let helloCame:
    @convention(c) (OpaquePointer?, UnsafeMutablePointer<Int32>?, UnsafeMutableRawPointer?)
      -> Int32 = { ssl, alert, _ in
        guard let ssl = unsafe ssl, let identities = unsafe identities(of: ssl) else { return SSL_CLIENT_HELLO_ERROR }
        switch unsafe identities.choose(serverName(in: ssl)) {
        case .first: break
        case .other(let index): unsafe SSL_set_SSL_CTX(ssl, identities.context(at: index))
        case .none:
          unsafe alert?.pointee = Int32(SSL_AD_UNRECOGNIZED_NAME)
          return SSL_CLIENT_HELLO_ERROR
        }
        return SSL_CLIENT_HELLO_SUCCESS
      }

  @unsafe static let chooseProtocol:
    @convention(c) (
      OpaquePointer?, UnsafeMutablePointer<UnsafePointer<UInt8>?>?, UnsafeMutablePointer<UInt8>?, UnsafePointer<UInt8>?,
      UInt32, UnsafeMutableRawPointer?
    ) -> Int32 = { ssl, chosen, length, offered, count, _ in
      guard let ssl = unsafe ssl, let offered = unsafe offered, let identities = unsafe identities(of: ssl) else {
        return SSL_TLSEXT_ERR_ALERT_FATAL
      }
      let list = unsafe UnsafeBufferPointer(start: offered, count: Int(count))
      guard let range = unsafe identities.chooseProtocol(among: list) else { return SSL_TLSEXT_ERR_ALERT_FATAL }
      unsafe chosen?.pointee = unsafe offered + range.lowerBound
      unsafe length?.pointee = UInt8(range.count)
      return SSL_TLSEXT_ERR_OK
    }

  @unsafe static let useTicketKey:
    @convention(c) (
      OpaquePointer?, UnsafeMutablePointer<UInt8>?, UnsafeMutablePointer<UInt8>?, OpaquePointer?, OpaquePointer?, Int32
    ) -> Int32 = { ssl, name, vector, cipher, code, isNew in
      guard let ssl = unsafe ssl, let name = unsafe name, let vector = unsafe vector,
        let state = unsafe SocketBIO.state(of: SSL_get_rbio(ssl)), let keys = unsafe state.pointee.tickets
      else { return -1 }
      return unsafe isNew == 1
        ? keys.seal(name, vector, cipher, code)
        : keys.open(name, vector, cipher, code, isSpent: SSL_version(ssl) == TLS1_3_VERSION)
    }

  /// A session is as good as the certificate that its client showed, which is not looked at again: once that has expired,
  /// the handshake is a whole one, in which the client has to show another.
  @unsafe static let judgeSession:
    @convention(c) (
      OpaquePointer?, OpaquePointer?, UnsafePointer<UInt8>?, Int, Int32, UnsafeMutableRawPointer?
    ) -> Int32 = { _, session, _, _, status, _ in
      guard status == SSL_TICKET_SUCCESS || status == SSL_TICKET_SUCCESS_RENEW, let session = unsafe session else {
        return SSL_TICKET_RETURN_IGNORE_RENEW
      }
      if let shown = unsafe SSL_SESSION_get0_peer(session),
        unsafe X509_cmp_current_time(X509_get0_notAfter(shown)) <= 0
      {
        return SSL_TICKET_RETURN_IGNORE_RENEW
      }
      return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW
    }

  @unsafe
  private static func identities(of ssl: OpaquePointer) -> ServerIdentities? {
    guard let state = unsafe SocketBIO.state(of: SSL_get_rbio(ssl)) else { return nil }
    return unsafe state.pointee.identities
  }

  /// The name of a host in the first message: a list's length, a kind, a length, the name.
  @unsafe
  private static func serverName(in ssl: OpaquePointer) -> String? {
    var start: UnsafePointer<UInt8>?
    var count = 0
    guard unsafe SSL_client_hello_get0_ext(ssl, UInt32(TLSEXT_TYPE_server_name), &start, &count) == 1 else {
      return nil
    }
    let bytes = unsafe UnsafeBufferPointer(start: start, count: count)
    guard bytes.count > 5, unsafe Int32(bytes[2]) == TLSEXT_NAMETYPE_host_name else { return nil }
    let length = unsafe Int(bytes[3]) << 8 | Int(bytes[4])
    guard length > 0, length <= 255, bytes.count >= 5 + length else { return nil }
    return unsafe String(decoding: bytes[5..<5 + length], as: UTF8.self)
  }
}
