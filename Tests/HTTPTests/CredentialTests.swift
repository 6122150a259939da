import HTTP
import Testing

@Suite struct CredentialTests {
  private func credentials(
    _ lines: [String], target: String = "/", of rules: CredentialRules = CredentialRules()
  ) throws -> [String] {
    let fields = lines.map { $0 + "\r\n" }.joined()
    let head = try requestHead("GET \(target) HTTP/1.1\r\nHost: a\r\n\(fields)\r\n")
    return rules.credentials(of: head).map { String(decoding: $0, as: UTF8.self) }
  }

  @Test(arguments: [
    "Authorization", "API-Key", "X-Api-Key", "x-goog-api-key", "apikey", "Ocp-Apim-Subscription-Key", "X-Auth-Token",
    "x-functions-key", "X-RapidAPI-Key", "xi-api-key",
  ])
  func `the key headers of providers name the user`(name: String) throws {
    #expect(try credentials(["\(name): one "]) == ["header \(name.lowercased())", "one"])
    #expect(try credentials(["\(name): one"]) != credentials(["\(name): two"]))
    #expect(try credentials(["\(name):"]).isEmpty)
  }

  @Test func `several credentials count together, whatever their order on the wire`() throws {
    let both = try credentials(["X-Api-Key: k", "Authorization: Bearer t"])
    #expect(both == ["header authorization", "Bearer t", "header x-api-key", "k"])
    #expect(try credentials(["Authorization: Bearer t", "X-Api-Key: k"]) == both)
    #expect(try credentials(["Authorization: Bearer t"]) != both)
    #expect(try credentials(["X-Api-Key: k", "X-Api-Key: l"]) == ["header x-api-key", "k", "header x-api-key", "l"])
  }

  @Test func `the same value in another place is another credential`() throws {
    let rules = CredentialRules(cookies: ["api-key"], parameters: ["api-key"])
    let all = [
      try credentials(["Api-Key: v"], of: rules), try credentials(["X-Api-Key: v"], of: rules),
      try credentials(["Cookie: api-key=v"], of: rules), try credentials([], target: "/?api-key=v", of: rules),
    ]
    #expect(Set(all).count == 4 && all.allSatisfy { $0.count == 2 })
  }

  @Test func `of all cookies only those that are named count`() throws {
    let rules = CredentialRules(cookies: ["session"])
    let one = try credentials(["Cookie: session=s; AWSALB=one"], of: rules)
    #expect(one == ["cookie session", "s"])
    #expect(try credentials(["Cookie: AWSALB=two;session=s"], of: rules) == one)
    #expect(try credentials(["Cookie: AWSALB=two", "Cookie: session = s "], of: rules) == one)
    #expect(try credentials(["Cookie: AWSALB=one; Session=s; xsession=s; session; session="], of: rules).isEmpty)
    #expect(try credentials(["Cookie: session=s; AWSALB=one"]).isEmpty)
  }

  @Test func `a query parameter counts where it is named`() throws {
    let rules = CredentialRules(parameters: ["key"])
    #expect(try credentials([], target: "/v1?alt=sse&key=a%2Bb", of: rules) == ["parameter key", "a+b"])
    #expect(try credentials([], target: "/v1?k%65y=a", of: rules) == ["parameter key", "a"])
    #expect(try credentials([], target: "/v1?keys=a&key=&key=%zz", of: rules).isEmpty)
    #expect(try credentials([], target: "/v1?key=a").isEmpty)
  }

  @Test func `a header that the operator names stands for all others`() throws {
    let rules = CredentialRules(headers: ["x-user-id"])
    #expect(try credentials(["X-User-Id: 7", "Authorization: Bearer t"], of: rules) == ["header x-user-id", "7"])
    #expect(try credentials(["Authorization: Bearer t"], of: rules).isEmpty)
  }
}
