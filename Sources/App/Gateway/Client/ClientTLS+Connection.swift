import HTTP
import TLS

extension ClientTLS {
  /// What was agreed on with the client of a connection that has shaken hands.
  ///
  /// - Parameter withChain: whether backends get the certificates of the client's issuers too.
  convenience init(_ connection: TLSConnection, withChain: Bool) {
    self.init(
      version: connection.version, cipher: connection.cipher, applicationProtocol: connection.applicationProtocol,
      certificate: connection.peerCertificate.map { ClientCertificate($0, withChain: withChain) })
  }
}

extension ClientCertificate {
  fileprivate convenience init(_ shown: PeerCertificate, withChain: Bool) {
    let fingerprint = shown.digest.map { byte in
      (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }
    self.init(
      der: shown.der, chain: withChain ? shown.chain : [],
      names: [.subject: shown.subject, .san: shown.firstName, .fingerprint: fingerprint.joined()])
  }
}
