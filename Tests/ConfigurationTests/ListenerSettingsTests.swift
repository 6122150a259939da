import Configuration
import Harness
import JSON
import Loop
import TLS
import Testing
import Time

@Suite struct `Settings of listeners` {
  private static let certificates = Result { try TestCertificates() }

  private static func identity(_ name: String = "localhost") throws -> TLSIdentity {
    try certificates.get().identity(name)
  }

  private static func document(_ members: String) -> String { "{ upstream: \"http://h\", \(members) }" }

  private static func fault(_ members: String) -> String? {
    do {
      _ = try ConfigurationTests.decode(document(members))
      return nil
    } catch {
      return "\(error)"
    }
  }

  @Test func `all members are read, written and read again`() throws {
    let (one, two) = (try Self.identity("one"), try Self.identity("two"))
    let roots = try Self.certificates.get().roots
    let configuration = try ConfigurationTests.decode(
      Self.document(
        """
        listeners: [{
          address: "127.0.0.1:9443",
          tls: {
            cert: "\(one.certificate)", key: "\(one.key)",
            certificates: [{ cert: "\(two.certificate)", key: "\(two.key)" }],
            clientCertificates: "request", clientRoots: "\(roots)", strictServerName: true, hsts: "365d",
          },
        }]
        """))
    let tls = try #require(configuration.listeners.first?.tls)
    #expect(tls.server.identities == [one, two])
    #expect(tls.server.clientCertificates == .request && tls.server.clientRoots == roots)
    #expect(tls.server.refusesUnknownNames)
    #expect(tls.hsts == .seconds(365 * 86_400))
    #expect(tls.context.expiries.map(\.certificate) == [one.certificate, two.certificate])
    let again = try ConfigurationTests.decode(configuration.summary)
    #expect(again.listeners.first?.tls?.server == tls.server)
  }

  @Test(arguments: [
    ("tls: {}", "tls.cert"), ("tls: { key: \"/k.pem\" }", "tls.key"), ("tls: { certificates: [] }", "tls.certificates"),
    ("tls: { cert: \"/nowhere.pem\" }", "tls.cert"), ("tls: { cert: \"/etc/hostname\" }", "tls.cert"),
    ("listeners: [{}]", "listeners[0].address"), ("listeners: [{ address: \"nowhere\" }]", "listeners[0].address"),
    ("listeners: [{ address: \"127.0.0.1:8080\" }]", "listeners[0].address"),
    ("listeners: [{ address: \"127.0.0.1:8081\" }]", "listeners[0].address"),
    ("listeners: [{ address: \":9000\" }, { address: \"127.0.0.1:9000\" }]", "listeners[1].address"),
    ("listeners: [{ address: \"127.0.0.1:9000\", tls: { cert: \"/nowhere.pem\" } }]", "listeners[0].tls.cert"),
    ("listeners: [{ address: \"127.0.0.1:9000\", port: 1 }]", "listeners[0].port"),
    ("listen: \"unix:\"", "listen"), ("listen: \"unix:run/fermata.sock\"", "listen"),
    ("listen: \"unix:/run/\"", "listen"),
    ("admin: { listen: \"unix:/run/admin.sock\" }", "admin.listen"), ("socketMode: \"0980\"", "socketMode"),
    ("socketMode: 660", "socketMode"), ("socketMode: \"4660\"", "socketMode"), ("socketMode: \"60\"", "socketMode"),
    ("listen: \"unix:/a\", listeners: [{ address: \"unix:/a\" }]", "listeners[0].address"),
    ("redirect: \"http\"", "redirect"), ("redirect: \"https\", tls: { cert: \"/nowhere.pem\" }", "redirect"),
    ("proxyProtocol: \"v3\"", "proxyProtocol"), ("proxyProtocol: \"v1\"", "trustedProxies"),
    ("listeners: [{ address: \":9000\", proxyProtocol: \"v2\" }]", "listeners[0].proxyProtocol"),
  ])
  func `a mistake is told with its place`(members: String, path: String) {
    let fault = Self.fault(members)
    #expect(fault?.contains(path) == true, "\(fault ?? "no fault")")
  }

  @Test func `the path of a socket has a longest length`() throws {
    let path = "/" + String(repeating: "a", count: 105)
    #expect(try ConfigurationTests.decode(Self.document("listen: \"unix:\(path)\"")).listen.path == path)
    #expect(Self.fault("listen: \"unix:\(path)a\"")?.contains("106 bytes") == true)
  }

  @Test func `sockets, redirects and PROXY headers are read, written and read again`() throws {
    let text = """
      listen: "unix:/run/a.sock", socketMode: "0600", proxyProtocol: "v2",
      listeners: [
        { address: "unix:/run/b.sock", socketMode: "666" }, { address: ":80", redirect: "https" },
        { address: ":81", proxyProtocol: "v1" },
      ], trustedProxies: ["10.0.0.0/8"],
      """
    let configuration = try ConfigurationTests.decode(Self.document(text))
    #expect(configuration.listen.isUnix && configuration.main.socketMode.bits == 0o600)
    #expect(configuration.main.proxyProtocol == .v2 && configuration.listeners[0].socketMode.bits == 0o666)
    #expect(configuration.listeners.map(\.redirect) == [.off, .https, .off])
    #expect(configuration.listeners.map(\.proxyProtocol) == [.off, .off, .v1])
    #expect(try ConfigurationTests.decode(configuration.summary).summary == configuration.summary)
    // Whoever may use a socket in the file system may say who the client is.
    #expect(Self.fault("listen: \"unix:/a\", proxyProtocol: \"v2\"") == nil)
  }

  @Test func `a reload takes redirects and PROXY headers, but no other mode of a socket`() throws {
    let old = try ConfigurationTests.decode(Self.document("listen: \"unix:/a\""))
    let wanted = try ConfigurationTests.decode(
      Self.document("listen: \"unix:/a\", socketMode: \"0600\", redirect: \"https\", proxyProtocol: \"v1\""))
    let (inForce, needs) = old.reloading(wanted)
    #expect(needs.map(\.path) == ["socketMode"] && inForce.main.socketMode.bits == 0o660)
    #expect(inForce.main.redirect == .https && inForce.main.proxyProtocol == .v1)
  }

  @Test func `certificates of clients need who signs them, and a key its certificate`() throws {
    let (one, two) = (try Self.identity("one"), try Self.identity("two"))
    let pair = "cert: \"\(one.certificate)\", key: \"\(one.key)\""
    #expect(Self.fault("tls: { \(pair), clientCertificates: \"require\" }")?.contains("tls.clientRoots") == true)
    #expect(Self.fault("tls: { \(pair), clientRoots: \"\(one.certificate)\" }")?.contains("tls.clientRoots") == true)
    #expect(Self.fault("tls: { \(pair), clientCertificates: \"maybe\" }")?.contains("tls.clientCertificates") == true)
    #expect(Self.fault("tls: { cert: \"\(one.certificate)\", key: \"\(two.key)\" }")?.contains("tls.key") == true)
    #expect(Self.fault("tls: { \(pair) }") == nil)
  }

  @Test func `a reload takes new certificates, but no new listeners`() throws {
    let (one, two) = (try Self.identity("one"), try Self.identity("two"))
    func configuration(_ identity: TLSIdentity, port: Int) throws -> Configuration {
      try ConfigurationTests.decode(
        Self.document(
          """
          listeners: [{
            address: "127.0.0.1:\(port)", tls: { cert: "\(identity.certificate)", key: "\(identity.key)" },
          }]
          """))
    }
    let old = try configuration(one, port: 9000)
    let renewed = old.reloading(try configuration(two, port: 9000))
    #expect(renewed.needs.isEmpty)
    #expect(renewed.inForce.listeners.first?.tls?.server.identities == [two])
    let moved = old.reloading(try configuration(two, port: 9001))
    #expect(moved.needs.map(\.path) == ["listeners"])
    #expect(moved.inForce.listeners.first?.address == old.listeners.first?.address)
    let plain = old.reloading(try ConfigurationTests.decode(Self.document("")))
    #expect(plain.needs.map(\.path) == ["listeners"])
  }
}
