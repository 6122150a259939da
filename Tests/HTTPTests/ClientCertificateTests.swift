import Bytes
import HTTP
import Testing

/// What backends, flags and runs are told of a client's certificate (RFC 9440).
@Suite struct `Certificates of clients` {
  private static let certificate = ClientCertificate(
    der: [0xFB, 0xFF, 0x00, 0x01], chain: [[1], [2, 3]],
    names: [.subject: "CN=agent", .san: "URI:spiffe://a/b", .fingerprint: ""])
  private let rules = ForwardingRules(upstreamAuthority: FieldValue(literal: "backend:9000"))
  private let claims =
    "GET / HTTP/1.1\r\nHost: a\r\nClient-Cert: :AAAA:\r\nclient-cert-chain: :BBBB:\r\nX-Kept: yes\r\nClient_Cert: :CCCC:\r\n\r\n"

  private func forward(_ head: RequestHead, as rules: ForwardingRules, isTrusted: Bool = false) -> String {
    let client = ForwardedClient(address: "192.0.2.1", isSecure: true, isTrusted: isTrusted)
    return written { Forwarding.writeRequest(head, from: client, as: rules, into: &$0) }
  }

  @Test(arguments: [
    ([] as [UInt8], "::"), ([0x66], ":Zg==:"), ([0x66, 0x6F], ":Zm8=:"), ([0x66, 0x6F, 0x6F], ":Zm9v:"),
    ([0xFB, 0xFF, 0xBF, 0x00], ":+/+/AA==:"),
  ])
  func `a certificate is written as a sequence of bytes`(der: [UInt8], text: String) {
    #expect(ClientCertificate(der: der, names: [:]).field.string == text)
  }

  @Test func `the names are those that it has`() {
    #expect(Self.certificate.name(by: .subject) == "CN=agent" && Self.certificate.name(by: .san) == "URI:spiffe://a/b")
    #expect(Self.certificate.name(by: .fingerprint) == nil)
    #expect(Self.certificate.chainField?.string == ":AQ==:, :AgM=:")
    #expect(ClientCertificate(der: [1], names: [:]).chainField == nil)
  }

  @Test(arguments: [false, true])
  func `what a client says of certificates is removed, whoever it is`(isTrusted: Bool) throws {
    let head = try requestHead(claims)
    for head in [head, head.proved(by: nil)] {
      let text = forward(head, as: rules, isTrusted: isTrusted).lowercased()
      #expect(!text.contains("client-cert") && !text.contains("client_cert") && text.contains("x-kept: yes"))
    }
    #expect(written { Forwarding.writeRequest(head, from: nil, as: rules, into: &$0) }.contains("ert") == false)
    let proved = head.proved(by: nil)
    #expect(!proved.fields.contains(.clientCert) && proved.fields.string(named: "client-cert-chain") == nil)
    #expect(proved.fields.string(named: "x-kept") == "yes" && proved.fields.string(.host) == "a")
  }

  @Test func `a backend gets what was proved, once`() throws {
    let text = forward(try requestHead(claims).proved(by: Self.certificate), as: rules)
    #expect(text.contains("Client-Cert: :+/8AAQ==:\r\nClient-Cert-Chain: :AQ==:, :AgM=:\r\n"))
    #expect(text.split(separator: "\r\n").filter { $0.lowercased().hasPrefix("client-cert") }.count == 2)
    let without = try requestHead("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    #expect(forward(without.proved(by: Self.certificate), as: rules).contains("Client-Cert: "))
    var dropping = rules
    dropping.dropped = [.clientCert, .clientCertChain]
    #expect(!forward(without.proved(by: Self.certificate), as: dropping).contains("Client-Cert"))
  }

  @Test func `a name of it is a credential, which no header can be`() throws {
    let head = try requestHead("GET / HTTP/1.1\r\nHost: a\r\nSubject: CN=agent\r\nClient-Cert: CN=agent\r\n\r\n")
    let rules = CredentialRules(headers: ["subject"], certificate: .subject)
    let (claimed, proved) = (head.proved(by: nil), head.proved(by: Self.certificate))
    #expect(
      rules.credentials(of: claimed).map { String(decoding: $0, as: UTF8.self) } == ["header subject", "CN=agent"])
    let own = CredentialRules(headers: [], certificate: .subject)
    #expect(
      own.credentials(of: proved).map { String(decoding: $0, as: UTF8.self) } == ["certificate subject", "CN=agent"])
    #expect(own.credentials(of: claimed).isEmpty)
    #expect(CredentialRules(headers: []).credentials(of: proved).isEmpty)
    #expect(CredentialRules(headers: [], certificate: .fingerprint).credentials(of: proved).isEmpty)
  }
}
