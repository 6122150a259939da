import Flags
import Streams
import Testing

struct ClientProductTests {
  private static let chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"

  @Test(
    arguments: [
      ("acme-web/2.1.0", "acme-web", "2.1.0"), ("acme-web/2.1.0 (Linux; x86) okhttp/4.9", "acme-web", "2.1.0"),
      ("acme-web", "acme-web", ""), ("(comment (nested)) curl/8.1.2", "curl", "8.1.2"),
      ("python-httpx/0.27.0", "python-httpx", "0.27.0"), ("OpenAI/Python 1.30.1", "OpenAI/Python", "1.30.1"),
      ("Anthropic/JS 0.20", "Anthropic/JS", "0.20"), ("acme/beta other", "acme", "beta"),
      ("", "unknown", ""), ("   ", "unknown", ""), ("/1.0", "unknown", "1.0"), ("(only a comment", "unknown", ""),
      ("\(chrome) Chrome/120.0.6099.109 Safari/537.36", "Chrome", "120"),
      ("\(chrome) HeadlessChrome/119.0 Safari/537.36", "Chrome", "119"),
      ("\(chrome) Chrome/120.0 Safari/537.36 Edg/121.0.1", "Edge", "121"),
      ("\(chrome) Chrome/120.0 Safari/537.36 OPR/106.0", "Opera", "106"),
      ("\(chrome) SamsungBrowser/23.0 Chrome/115.0 Mobile Safari/537.36", "SamsungBrowser", "23"),
      ("Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML) Version/17.2 Safari/605.1.15", "Safari", "17"),
      ("Mozilla/5.0 (iPhone) AppleWebKit/605 (KHTML) CriOS/120.1 Mobile/15E Safari/604", "Chrome", "120"),
      ("Mozilla/5.0 (X11; rv:121.0) Gecko/20100101 Firefox/121.0", "Firefox", "121"),
      ("Mozilla/5.0 (compatible; Somebot/2.1)", "Mozilla", "5"),
      ("\(chrome) acme-desktop/2.3.0 Chrome/120.0 Electron/28.1 Safari/537.36", "acme-desktop", "2.3.0"),
      ("\(chrome) Chrome/120.0 Electron/28.1 Safari/537.36", "Electron", "28"),
    ] as [(String, String, String)])
  func `the first product counts, browsers by name and major version`(agent: String, name: String, version: String) {
    #expect(ClientProduct(userAgent: agent) == ClientProduct(name: name, version: version))
    #expect(ClientProduct(userAgent: agent).name == name)
    #expect(ClientProduct(userAgent: agent).version == version)
  }

  @Test func `hostile values are bounded, and nothing but printable ASCII is kept`() {
    let long = ClientProduct(userAgent: String(repeating: "a", count: 5000) + "/" + String(repeating: "1", count: 5000))
    #expect(long.name.utf8.count == 64 && long.version.isEmpty)
    let version = ClientProduct(userAgent: "acme/" + String(repeating: "1", count: 500))
    #expect(version.name == "acme" && version.version.utf8.count == 32)
    #expect(ClientProduct(userAgent: "a\u{1B}[2Jb\u{7F}/1\u{0}2").name == "a?[2Jb?")
    #expect(ClientProduct(userAgent: "caf\u{E9}\u{1F600}/1.0").name == "caf??")
    #expect(ClientProduct(userAgent: String(repeating: "(", count: 5000)).name == "unknown")
  }

  @Test(
    arguments: [
      (["user-agent": "okhttp/4 acme-web/2.1", "x-client-version": "5.0.0"], "acme-web", "2.1"),
      (["user-agent": "okhttp/4", "x-client-version": "5.0.0"], "okhttp", "5.0.0"),
      (["user-agent": "okhttp/4", "x-client-version": "nonsense"], "okhttp", "4"),
      (["x-client-version": "v5"], "unknown", "v5"), ([:], "unknown", ""),
    ] as [([String: String], String, String)])
  func `the rules for versions come before the first product`(fields: [String: String], name: String, version: String) {
    let detector = CapabilityDetector(versionRules: [
      VersionRule(header: "User-Agent", product: "acme-web", since: SemanticVersion("2.3.0")),
      VersionRule(header: "X-Client-Version", since: SemanticVersion("5.0.0")),
    ])
    #expect(detector.product { fields[$0] } == ClientProduct(name: name, version: version))
  }
}
