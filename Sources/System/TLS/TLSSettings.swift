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

  package init() {}
}

/// How the end that accepts behaves.
package struct TLSServerSettings: Hashable, Sendable {
  package var identity: TLSIdentity
  /// A PEM file: clients must show a certificate that one of these has signed.
  package var clientRoots: String?
  package var newestVersion = TLSVersion.version13

  package init(identity: TLSIdentity) {
    self.identity = identity
  }
}
