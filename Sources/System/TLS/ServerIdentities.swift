import COpenSSL
import Glibc

/// The certificates of an accepting side, one OpenSSL context for each set of names, and which of them a client is shown.
///
/// Not changed once made, so loops may share it.
@safe
final class ServerIdentities: @unchecked Sendable {
  /// One context. Identities for the same names whose keys differ in kind share it.
  @safe
  private final class Member {
    let context: OpaquePointer
    let names: Set<String>
    var keyKinds: Set<Int32>

    init(_ context: OpaquePointer, names: Set<String>, keyKind: Int32) {
      unsafe self.context = unsafe context
      self.names = names
      keyKinds = [keyKind]
    }

    deinit { unsafe SSL_CTX_free(context) }
  }

  private let members: [Member]
  /// Names of hosts in lower case; of a wildcard what stands behind its asterisk, from the dot on.
  private let exact: [String: Int]
  private let wildcards: [String: Int]
  private let refusesUnknownNames: Bool
  /// Each protocol behind its length, as ALPN writes it.
  private let protocols: [[UInt8]]
  /// With which keys tickets are written, unless a connection has others.
  let tickets = TicketKeys()
  let expiries: [(certificate: String, at: Int64)]

  init(_ settings: TLSServerSettings) throws(TLSError) {
    var members: [Member] = []
    var expiries: [(certificate: String, at: Int64)] = []
    for identity in settings.identities {
      let member = try Self.make(identity, settings)
      expiries.append((identity.certificate, unsafe Certificate.expiry(of: SSL_CTX_get0_certificate(member.context))))
      let twin = members.first { $0.names == member.names && $0.keyKinds.isDisjoint(with: member.keyKinds) }
      if let twin {
        try unsafe OpenSSLContext.use(identity, in: twin.context)
        twin.keyKinds.formUnion(member.keyKinds)
      } else {
        members.append(member)
      }
    }
    guard !members.isEmpty else { throw .setting("there is no certificate") }
    self.members = members
    self.expiries = expiries
    var exact: [String: Int] = [:]
    var wildcards: [String: Int] = [:]
    for (index, member) in members.enumerated() {
      for name in member.names {
        if name.hasPrefix("*.") {
          let suffix = String(name.dropFirst())
          if wildcards[suffix] == nil { wildcards[suffix] = index }
        } else if exact[name] == nil {
          exact[name] = index
        }
      }
    }
    self.exact = exact
    self.wildcards = wildcards
    refusesUnknownNames = settings.refusesUnknownNames
    protocols = settings.protocols.map { [UInt8(clamping: $0.utf8.count)] + Array($0.utf8) }
  }

  /// The context that a connection begins with; the caller has a reference of its own.
  @unsafe
  func retainFirst() -> OpaquePointer {
    let context = unsafe members[0].context
    unsafe SSL_CTX_up_ref(context)
    return unsafe context
  }

  // MARK: - One context

  private static func make(_ identity: TLSIdentity, _ settings: TLSServerSettings) throws(TLSError) -> Member {
    let context = unsafe try OpenSSLContext.make(TLS_server_method())
    do throws(TLSError) {
      try unsafe OpenSSLContext.use(identity, in: context)
      try unsafe verifyClients(context, settings)
    } catch {
      unsafe SSL_CTX_free(context)
      throw error
    }
    if settings.newestVersion == .version12 {
      unsafe SSL_CTX_ctrl(context, SSL_CTRL_SET_MAX_PROTO_VERSION, Int(TLS1_2_VERSION), nil)
    }
    unsafe setPolicy(context)
    unsafe setSessions(context, settings)
    unsafe SSL_CTX_set_client_hello_cb(context, ServerCallbacks.helloCame, nil)
    unsafe SSL_CTX_set_alpn_select_cb(context, ServerCallbacks.chooseProtocol, nil)
    unsafe SSL_CTX_set_tlsext_ticket_key_evp_cb(context, ServerCallbacks.useTicketKey)
    unsafe SSL_CTX_set_session_ticket_cb(context, nil, ServerCallbacks.judgeSession, nil)
    let certificate = unsafe SSL_CTX_get0_certificate(context)
    return unsafe Member(
      context, names: Certificate.names(of: certificate),
      keyKind: EVP_PKEY_get_base_id(X509_get0_pubkey(certificate)))
  }

  @unsafe
  private static func verifyClients(_ context: OpaquePointer, _ settings: TLSServerSettings) throws(TLSError) {
    guard let roots = settings.clientRoots, settings.clientCertificates != .none else { return }
    try unsafe OpenSSLContext.trust(roots, in: context)
    // Which authorities the client may choose its certificate by.
    unsafe SSL_CTX_set_client_CA_list(context, SSL_load_client_CA_file(roots))
    let must = settings.clientCertificates == .require ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0
    unsafe SSL_CTX_set_verify(context, SSL_VERIFY_PEER | must, nil)
  }

  /// TLS 1.2 with forward secrecy and AEAD only, which is also what HTTP/2 allows (RFC 9113, 9.2.2).
  @unsafe
  private static func setPolicy(_ context: OpaquePointer) {
    _ = unsafe SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!PSK:!SRP")
    unsafe "X25519:P-256:P-384".withCString { groups in
      let pointer = unsafe UnsafeMutableRawPointer(mutating: groups)
      _ = unsafe SSL_CTX_ctrl(context, SSL_CTRL_SET_GROUPS_LIST, 0, pointer)
    }
  }

  /// Clients keep their sessions themselves, as tickets. One is good only where the same certificate is shown and the same is
  /// asked of clients: else a session made without a client's certificate would be taken up where one is required.
  @unsafe
  private static func setSessions(_ context: OpaquePointer, _ settings: TLSServerSettings) {
    unsafe SSL_CTX_ctrl(context, SSL_CTRL_SET_SESS_CACHE_MODE, Int(SSL_SESS_CACHE_OFF), nil)
    if settings.wantsChain {
      unsafe SSL_CTX_set_num_tickets(context, 0)
      unsafe SSL_CTX_set_options(context, fermata_tls_no_ticket)
    }
    var scope = unsafe Certificate.digest(of: SSL_CTX_get0_certificate(context))
    if let roots = settings.clientRoots {
      scope += Array(settings.clientCertificates.rawValue.utf8)
      scope += unsafe Certificate.digests(in: roots)
    }
    let name = Certificate.digest(of: scope)
    _ = unsafe SSL_CTX_set_session_id_context(context, name, UInt32(name.count))
  }

  // MARK: - During a handshake

  /// Which certificate is shown to a client.
  enum Choice {
    case first
    /// That of `context(at:)`.
    case other(Int)
    case none
  }

  /// - Parameter name: the host that the client asks for; `nil` for none.
  func choose(_ name: String?) -> Choice {
    guard let name = name?.lowercased() else { return .first }
    let found = exact[name] ?? name.firstIndex(of: ".").flatMap { wildcards[String(name[$0...])] }
    if let found { return found == 0 ? .first : .other(found) }
    return refusesUnknownNames ? .none : .first
  }

  @unsafe
  func context(at index: Int) -> OpaquePointer { unsafe members[index].context }

  /// Finds the protocol that is wanted most in a client's list.
  /// - Returns: where its name is in `offered`; `nil` when there is none.
  func chooseProtocol(among offered: UnsafeBufferPointer<UInt8>) -> Range<Int>? {
    for wanted in protocols {
      var start = 0
      while start < offered.count {
        let end = unsafe start + 1 + Int(offered[start])
        guard end <= offered.count else { break }
        if unsafe offered[start..<end].elementsEqual(wanted) { return start + 1..<end }
        start = end
      }
    }
    return nil
  }
}
