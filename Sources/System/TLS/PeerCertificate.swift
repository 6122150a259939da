/// The certificate that a client has shown, which was found good.
package struct PeerCertificate: Sendable {
  /// As it was sent (DER).
  package let der: [UInt8]
  /// Those of its issuers that the client sent, in their order. Empty where a session was taken up: it holds the client's own
  /// only.
  package let chain: [[UInt8]]
  /// As RFC 4514 writes it.
  package let subject: String
  /// The first name in `subjectAltName` that is a URI, a host or a mail address, its kind before it; empty without one.
  package let firstName: String
  /// SHA-256 of `der`.
  package let digest: [UInt8]
}
