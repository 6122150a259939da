import Configuration
import Harness
import JSON
import TLS
import Testing

@Suite struct TLSSettingsTests {
  private static let certificates = Result { try TestCertificates() }

  /// A configuration whose one backend has these members.
  private func document(_ members: String) -> String {
    "{ upstreams: { a: { \(members) } }, routes: [{ name: \"r\", upstreams: \"a\" }] }"
  }

  @Test func `https needs no settings of its own`() throws {
    let alone = try ConfigurationTests.decode("{ upstream: \"https://api.example.com/v1\" }")
    #expect(alone.upstreams.first?.name == "api.example.com:443")
    #expect(alone.upstreams.first?.tls?.client == TLSClientSettings())
    let named = try ConfigurationTests.decode(document("url: \"https://api.example.com\""))
    #expect(named.upstreams.first?.tls?.client == TLSClientSettings())
    let plain = try ConfigurationTests.decode(document("url: \"http://api.example.com\""))
    #expect(plain.upstreams.first?.tls == nil)
  }

  @Test func `all of TLS can be set, and the summary reads back`() throws {
    let certificates = try Self.certificates.get()
    let identity = try certificates.identity("gateway", for: "DNS:gateway.example")
    let text = document(
      """
      url: "https://10.0.0.1:8443",
      tls: {
        roots: "\(certificates.roots)", serverName: "api.internal", certificate: "\(identity.certificate)",
        key: "\(identity.key)",
      },
      """)
    let configuration = try ConfigurationTests.decode(text)
    let client = try #require(configuration.upstreams.first?.tls?.client)
    #expect(client.roots == certificates.roots && client.verifiesPeer && client.serverName == "api.internal")
    #expect(client.identity == identity)
    let again = try ConfigurationTests.decode(configuration.summary)
    #expect(again.upstreams.first?.tls?.client == client)
    let blind = try ConfigurationTests.decode(document("url: \"https://h\", tls: { verify: false }"))
    #expect(blind.upstreams.first?.tls?.client.verifiesPeer == false)
  }

  @Test(arguments: [
    ("url: \"http://h\", tls: {}", "upstreams.a.tls"), ("url: \"https://h\", tls: 1", "upstreams.a.tls"),
    ("url: \"https://h\", tls: { root: \"x\" }", "upstreams.a.tls.root"),
    ("url: \"https://h\", tls: { roots: \"/nowhere.pem\" }", "upstreams.a.tls.roots"),
    ("url: \"https://h\", tls: { roots: \"/etc/hostname\" }", "upstreams.a.tls.roots"),
    ("url: \"https://h\", tls: { roots: \"/nowhere.pem\", verify: false }", "upstreams.a.tls.roots"),
    ("url: \"https://h\", tls: { verify: \"no\" }", "upstreams.a.tls.verify"),
    ("url: \"https://h\", tls: { serverName: \"two words\" }", "upstreams.a.tls.serverName"),
    ("url: \"https://h\", tls: { certificate: \"/nowhere.pem\" }", "upstreams.a.tls.certificate"),
    ("url: \"https://h\", tls: { key: \"/nowhere.pem\" }", "upstreams.a.tls.key"),
  ])
  func `a mistake is told with its path`(members: String, path: String) throws {
    #expect(try ConfigurationTests.faults(document(members)) == [path])
  }

  @Test func `a reload keeps the sessions of upstreams whose settings and files are the same`() throws {
    let certificates = try Self.certificates.get()
    let identity = try certificates.identity("renewed", for: "DNS:gateway.example")
    let members =
      "url: \"https://h\", tls: { certificate: \"\(identity.certificate)\", key: \"\(identity.key)\" }"
    let first = try ConfigurationTests.decode(document(members))
    func reloaded() throws -> UpstreamSettings {
      try #require(first.reloading(try ConfigurationTests.decode(document(members))).inForce.upstreams.first)
    }
    let same = try reloaded()
    #expect(same.tls?.context === first.upstreams[0].tls?.context && same.isSameBackend(as: first.upstreams[0]))
    // A new certificate under the old name.
    _ = try certificates.identity("renewed", for: "DNS:gateway.example")
    let renewed = try reloaded()
    #expect(renewed.tls?.context !== first.upstreams[0].tls?.context)
    #expect(!renewed.isSameBackend(as: first.upstreams[0]))
  }

  @Test func `a file that can't be used is named, and nothing of it is quoted`() throws {
    let certificates = try Self.certificates.get()
    let identity = try certificates.identity("mixed", for: "DNS:gateway.example")
    let members =
      "url: \"https://h\", tls: { certificate: \"\(identity.certificate)\", key: \"\(certificates.roots)\" }"
    do {
      _ = try ConfigurationTests.decode(document(members))
      Issue.record("accepted")
    } catch let error as DecodingFaults {
      #expect(error.faults.map(\.path) == ["upstreams.a.tls.key"])
      #expect("\(error)".contains(certificates.roots) && !"\(error)".contains("BEGIN"))
    }
  }
}
