import Bytes
import EventSamples
import Flags
import Streams
import Testing

struct CapabilityTests {
  private func prefers(_ value: String) -> Bool? { CapabilityDetector.prefersStreamEnd(Array(value.utf8).span) }
  private func version(_ text: String) -> SemanticVersion? { SemanticVersion(text) }

  @Test(arguments: [
    "stream-end", " Stream-End ", "respond-async, stream-end", "stream-end; a=b", "stream-end;a=\",\";b, x",
    "stream-end=1", "stream-end = true", "stream-end=\"1\"", "stream-end=", "stream-end=\"\"",
    "stream-end=1, stream-end=0",
    "a=\"b,c;d\", stream-end", "a=\"\\\",stream-end=0,\", stream-end", ",, ,stream-end", "wait=10,STREAM-END=TRUE",
  ])
  func `Prefer asks for it`(_ value: String) {
    #expect(prefers(value) == true)
  }

  @Test(arguments: ["stream-end=0", "stream-end=false", "x, stream-end=\"0\"; q", "stream-end=0, stream-end"])
  func `Prefer declines it`(_ value: String) {
    #expect(prefers(value) == false)
  }

  @Test(arguments: [
    "", " ", ",", ";", "=", "stream-ends", "xstream-end", "respond-async", "a=stream-end", "a; stream-end",
    "a=\"x,stream-end,y\"", "a=\"stream-end", "stream end", "stream-end=maybe", "\"stream-end\"", "a=\"\\",
    "stream-end/1",
  ])
  func `Prefer does not speak of it`(_ value: String) {
    #expect(prefers(value) == nil)
  }

  @Test func `no Prefer field breaks the reader`() {
    let alphabet = Array("stream-end,;=\"\\ \t10".utf8)
    for seed in 0..<3000 {
      var random = SeededGenerator(seed: UInt64(seed))
      let value = (0..<random.below(40)).map { _ in random.chance(95) ? random.pick(alphabet) : UInt8(random.below(256))
      }
      _ = CapabilityDetector.prefersStreamEnd(value.span)
    }
  }

  @Test func `switches say yes, no or nothing`() {
    func truth(_ text: String) -> Bool? { CapabilityDetector.truth(Array(text.utf8).span) }
    for text in ["1", "true", "TRUE", "\"1\""] { #expect(truth(text) == true) }
    for text in ["0", "false", "False", "\"false\""] { #expect(truth(text) == false) }
    for text in ["", "2", "yes", " 1", "\"", "\"\"", "1\""] { #expect(truth(text) == nil) }
  }

  @Test func `a product's version is compared by the rule's bounds`() {
    let rule = VersionRule(
      header: "User-Agent", product: "acme-web", since: version("2.3.0"), until: version("4.0.0"),
      except: [version("3.1.0"), version("3.1.1")].compactMap { $0 })
    #expect(rule.header == "user-agent")
    for (value, expected) in [
      ("acme-web/2.3.0", true), ("acme-web/2.2.99", false), ("acme-web/2.3.0-rc.1", false), ("acme-web/3.1.0", false),
      ("acme-web/3.1.1+build", false), ("acme-web/3.1.2", true), ("acme-web/3.99.0", true), ("acme-web/4.0.0", false),
      ("acme-web/4.0.0-rc.1", true), ("acme-web/2.3", true), ("acme-web/v3.0.0", true), ("acme-web/10.0.0", false),
      ("Mozilla/5.0 (X11) acme-web/2.4.0 Safari/1", true), ("acme-web/x acme-web/2.4.0", true),
      ("Mozilla/5.0\tacme-web/2.4.0", true), ("acme-web/2.4.0 acme-web/1.0.0", true),
    ] {
      #expect(rule.judge(value) == expected, "\(value)")
    }
    for value in [
      "", "acme-web", "acme-web/", "acme-web/x", "acme-webapp/3.0.0", "my-acme-web/3.0.0", "acme-web 3.0.0", "/3",
    ] {
      #expect(rule.judge(value) == nil, "\(value)")
    }
  }

  @Test func `a header that is the version alone`() {
    let rule = VersionRule(header: "X-Client-Version", since: version("5.0.0"))
    #expect(rule.judge(" 5.0.0\t") == true)
    #expect(rule.judge("5.1") == true)
    #expect(rule.judge("4.9.9") == false)
    #expect(rule.judge("acme/5.0.0") == nil)
    #expect(VersionRule(header: "x").judge("0.0.1") == true)
    #expect(VersionRule(header: "x", until: version("2.0.0")).judge("2.0.0") == false)
  }

  @Test func `the first source that says anything wins`() {
    let detector = CapabilityDetector(versionRules: [
      VersionRule(header: "user-agent", product: "acme", since: version("2.0.0")),
      VersionRule(header: "x-version", since: version("1.0.0")),
    ])
    func detect(
      _ prefers: Bool?, _ header: Bool?, _ query: Bool?, _ fields: [String: String] = [:]
    ) -> Capability {
      detector.detect(prefers: prefers, header: header, query: query) { fields[$0] }
    }
    #expect(detect(true, false, false) == Capability(understandsStreamEnd: true, source: .prefer))
    #expect(detect(false, true, true) == Capability(understandsStreamEnd: false, source: .prefer))
    #expect(detect(nil, true, false) == Capability(understandsStreamEnd: true, source: .header))
    #expect(detect(nil, nil, false, ["x-version": "3.0.0"]) == Capability(understandsStreamEnd: false, source: .query))
    #expect(
      detect(nil, nil, nil, ["user-agent": "acme/2.0.0"]) == Capability(understandsStreamEnd: true, source: .version))
    // A rule that knows the client decides, even against it; one that doesn't leaves it to the next.
    let old = ["user-agent": "acme/1.0.0", "x-version": "3.0.0"]
    #expect(detect(nil, nil, nil, old) == Capability(understandsStreamEnd: false, source: .version))
    let other = ["user-agent": "other/1.0.0", "x-version": "3.0.0"]
    #expect(detect(nil, nil, nil, other) == Capability(understandsStreamEnd: true, source: .version))
    #expect(detect(nil, nil, nil, ["user-agent": "curl/8.0.0"]) == .none)
    #expect(detect(nil, nil, nil) == .none)
  }
}
