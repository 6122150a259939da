/// The versions that are spoken.
package enum TLSVersion: Sendable {
  case version12, version13
}

/// What one end shows of itself: PEM files.
package struct TLSIdentity: Hashable, Sendable {
  /// The certificate, followed by those of its issuers, the root left out.
  package var certificate: String
  /// The private key, which must not be encrypted; may be the same file.
  package var key: String

  package init(certificate: String, key: String) {
    self.certificate = certificate
    self.key = key
  }
}

/// How the end that connects behaves.
package struct TLSClientSettings: Hashable, Sendable {
  /// A PEM file with the certificates that are trusted, instead of the system's.
  package var roots: String?
  /// Off, anyone can pretend to be the peer.
  package var verifiesPeer = true
  /// The name that is asked for and must be in the certificate, instead of the one that was dialled.
  package var serverName: String?
  package var identity: TLSIdentity?
  /// What may be spoken inside (ALPN, RFC 7301), the most wanted first, each of 1 to 255 bytes. None: it is not
  /// negotiated.
  package var protocols: [String] = []

  package init() {}
}

/// Whether clients show a certificate.
package enum ClientCertificates: String, CaseIterable, Sendable {
  /// They are not asked for one.
  case none
  /// They may. One that is shown must be good.
  case request
  /// They must.
  case require
}

/// How the end that accepts behaves.
package struct TLSServerSettings: Hashable, Sendable {
  /// Which is shown is decided by the name that the client asks for; the first is shown where no name fits. Those for the
  /// same names with keys of different kinds are offered side by side. Never empty.
  package var identities: [TLSIdentity]
  /// A PEM file: certificates of clients must be signed by one of these.
  package var clientRoots: String?
  /// Of no effect without `clientRoots`.
  package var clientCertificates = ClientCertificates.require
  /// Whether each handshake brings the certificates of the client's issuers: sessions are not taken up then, for they hold
  /// the client's own only.
  package var wantsChain = false
  /// Whether a client is refused that asks for a name which no certificate has. One that asks for none never is.
  package var refusesUnknownNames = false
  package var newestVersion = TLSVersion.version13
  /// What may be spoken inside (ALPN, RFC 7301), the most wanted first. A client that offers others only is refused; one
  /// that offers none is not. Clients that ask in HTTP/1.0 offer only that.
  package var protocols = ["http/1.1", "http/1.0"]

  package init(identity: TLSIdentity) {
    identities = [identity]
  }

  package init(identities: [TLSIdentity]) {
    self.identities = identities
  }
}
