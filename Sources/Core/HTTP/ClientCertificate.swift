import Bytes

/// A name that a client's certificate gives it.
package enum CertificateName: String, CaseIterable, Sendable {
  /// The whole subject (RFC 4514), such as `CN=agent,O=Example`.
  case subject
  /// The first name of `subjectAltName` that is a URI, a host or a mail address, such as `URI:spiffe://example/agent`.
  case san
  /// SHA-256 of the certificate, which changes with each renewal.
  case fingerprint
}

/// The certificate with which a client has proved who it is. Made once for a connection; never changes.
package final class ClientCertificate: Sendable {
  /// What `Client-Cert` says (RFC 9440, 2.2).
  package let field: FieldValue
  /// What `Client-Cert-Chain` says (2.3); `nil` where it is not passed on, or nobody signed in between.
  package let chainField: FieldValue?
  private let names: [CertificateName: String]

  /// - Parameters:
  ///   - der: the certificate, as it was sent.
  ///   - chain: those of its issuers, in their order; the field for them is made where there are some.
  ///   - names: what it calls the client; an absent or empty name is none.
  package init(der: [UInt8], chain: [[UInt8]] = [], names: [CertificateName: String]) {
    field = FieldValue(Self.sequence(der)) ?? FieldValue(literal: "")
    chainField = chain.isEmpty ? nil : FieldValue(chain.map(Self.sequence).joined(separator: ", "))
    self.names = names.filter { !$0.value.isEmpty }
  }

  package func name(by kind: CertificateName) -> String? { names[kind] }

  /// A byte sequence of structured fields (RFC 8941, 3.3.5).
  private static func sequence(_ bytes: [UInt8]) -> String { ":" + Base64.encoded(bytes) + ":" }
}

/// What a client and the gateway agreed on when they shook hands. Made once for a connection; never changes.
package final class ClientTLS: Sendable {
  /// `TLSv1.3`, `TLSv1.2`.
  package let version: String
  /// OpenSSL's name of the cipher.
  package let cipher: String
  /// What is spoken inside (ALPN, RFC 7301); empty when the client asked for nothing.
  package let applicationProtocol: String
  /// `nil` when the client showed none.
  package let certificate: ClientCertificate?

  package init(version: String, cipher: String, applicationProtocol: String, certificate: ClientCertificate?) {
    self.version = version
    self.cipher = cipher
    self.applicationProtocol = applicationProtocol
    self.certificate = certificate
  }
}
