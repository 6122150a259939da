import Bytes
import HTTP
import Testing

/// What a request's fields say of its answer, its way and its body.
@Suite struct AnswerFieldTests {
  private func fields(_ lines: String...) throws -> Fields {
    try requestHead("POST / HTTP/1.1\r\nHost: h\r\n" + lines.map { $0 + "\r\n" }.joined() + "\r\n").fields
  }

  private func accepts(_ accept: String?, _ type: String?) throws -> Bool {
    let fields = try accept.map { try self.fields("Accept: \($0)") } ?? self.fields()
    guard let type else { return fields.accepts(nil) }
    return fields.accepts(type.utf8Span.span)
  }

  @Test func `a type is accepted that Accept names, by itself or by a range`() throws {
    for accept in [
      nil, "*/*", "application/*", "application/json", "Application/JSON", "text/html, application/json;q=0.1",
      "text/event-stream, */*;q=0.5", "*/*;q=0, application/json", "application/*;q=0, application/json",
      "application/json;q=0, application/json",
    ] {
      #expect(try accepts(accept, "application/json"), "\(accept ?? "none")")
      #expect(try accepts(accept, "application/json; charset=utf-8"), "\(accept ?? "none")")
    }
    for accept in [
      "text/event-stream", "text/*", "application/jsonl", "application/js", "json", "*", "", "*/*;q=0",
      "*/*, application/json;q=0", "application/*;q=0.000, */*", "application/json; Q=0",
    ] {
      #expect(try !accepts(accept, "application/json"), "\(accept)")
    }
  }

  @Test func `an answer without a type is accepted by who accepts everything`() throws {
    #expect(try accepts(nil, nil) && accepts("*/*", nil))
    #expect(try !accepts("text/event-stream", nil) && !accepts("*/*;q=0", nil) && !accepts("a/*", "a"))
  }

  @Test func `Accept on several lines is one list`() throws {
    let both = try fields("Accept: text/html", "Accept: application/json")
    #expect(both.accepts("application/json".utf8Span.span) && !both.accepts("text/plain".utf8Span.span))
  }

  @Test func `identity, none and nothing are no content coding`() throws {
    for value in ["", "identity", "IDENTITY", "none", "identity, identity", ",", "identity, none,"] {
      #expect(try !fields("Content-Encoding: \(value)").hasContentCoding, "\(value)")
    }
    for value in ["gzip", "identity, gzip", "br", "x-identity", "identityx", "deflate, identity"] {
      #expect(try fields("Content-Encoding: \(value)").hasContentCoding, "\(value)")
    }
    #expect(try !fields().hasContentCoding)
    #expect(try fields("Content-Encoding: identity", "Content-Encoding: zstd").hasContentCoding)
  }

  @Test func `a request that went through a gateway names it in Via`() throws {
    let name = FieldValue(literal: "fermata-1")
    for via in [
      "1.1 fermata-1", "HTTP/1.1 Fermata-1", "1.0 a, 1.1 fermata-1 (x)", "1.1  fermata-1", "1.1 fermata-1, 1.1 b",
    ] {
      #expect(try fields("Via: \(via)").wentThrough(name), "\(via)")
    }
    for via in ["", "fermata-1", "1.1 fermata-12", "1.1 xfermata-1", "1.1 a (fermata-1)", "1.1 fermata-1:80"] {
      #expect(try !fields("Via: \(via)").wentThrough(name), "\(via)")
    }
    #expect(try fields("Via: 1.1 a", "Via: 1.1 fermata-1").wentThrough(name))
    #expect(try !fields("X-Via: 1.1 fermata-1").wentThrough(name))
  }

  @Test func `a body that is empty by its framing is none`() throws {
    for framing in [BodyFraming.none, .length(0)] { #expect(!framing.mayHaveBytes) }
    for framing in [BodyFraming.length(1), .chunked, .untilClose] { #expect(framing.mayHaveBytes) }
    func skip(_ framing: String, _ rest: String) throws -> (Int, BodyFraming) {
      let head = try requestHead("POST / HTTP/1.1\r\nHost: h\r\n\(framing)\r\n\r\n")
      guard let (bodiless, skipped) = head.withoutEmptyBody(rest.utf8Span.span) else { return (0, head.framing) }
      return (skipped, bodiless.framing)
    }
    #expect(try skip("Transfer-Encoding: chunked", "0\r\n\r\nGET /") == (5, .length(0)))
    for rest in ["", "0", "0\r\n", "0\r\n\r", "00\r\n\r\n", "0\r\nA: b\r\n\r\n", "0A\r\n", "1\r\na\r\n0\r\n\r\n"] {
      #expect(try skip("Transfer-Encoding: chunked", rest) == (0, .chunked), "\(rest)")
    }
    #expect(try skip("Content-Length: 5", "0\r\n\r\n") == (0, .length(5)))
    #expect(try skip("X: y", "0\r\n\r\n") == (0, .none))
  }
}

@Suite struct OperatorFieldTests {
  private func rules(
    set: [String] = [], removed: [String] = [], dropsTwins: Bool = true
  ) throws -> ForwardingRules {
    var fields = Fields()
    for name in set { fields.set(try #require(FieldName(name)), FieldValue(literal: "operator")) }
    let names = try removed.map { try #require(FieldName($0)) }
    return ForwardingRules(
      upstreamAuthority: FieldValue(literal: "b"), dropped: KnownFieldSet(names.compactMap(\.known)),
      droppedNames: names.filter { $0.known == nil }, dropsTwins: dropsTwins, overrides: fields)
  }

  private func forward(_ field: String, _ rules: ForwardingRules) throws -> String {
    let head = try requestHead("GET / HTTP/1.1\r\nHost: h\r\n\(field): client\r\n\r\n")
    return written { Forwarding.writeRequest(head, from: nil, as: rules, into: &$0) }
  }

  @Test func `a field that a backend can't tell from one of the operator's stays behind`() throws {
    for (own, twins) in [
      ("X-Gateway-Key", ["X_Gateway_Key", "x-gateway_key", "X_GATEWAY-KEY", "x-gateway-key"]),
      ("X_Gateway_Key", ["X-Gateway-Key", "x-gateway_key", "X_gateway_key"]),
    ] {
      for twin in twins {
        #expect(try !forward(twin, rules(set: [own])).contains("client"), "\(twin)")
        #expect(try !forward(twin, rules(removed: [own])).contains("client"), "\(twin)")
      }
      for other in ["X_Gateway_Keys", "XGateway_Key", "X_Other"] {
        #expect(try forward(other, rules(set: [own])).contains("\(other): client"))
      }
    }
    #expect(try forward("X_Gateway_Key", rules(set: ["X-Gateway-Key"], dropsTwins: false)).contains("client"))
    #expect(try !forward("X-Gateway-Key", rules(set: ["X-Gateway-Key"], dropsTwins: false)).contains("client"))
    #expect(try forward("X_Gateway_Key", rules()).contains("client"))
    // A known field's twin is dropped whatever the operator says: it would be a way around every rule.
    #expect(try !forward("X_Forwarded_For", rules(dropsTwins: false)).contains("client"))
  }

  @Test func `credentials are the client's own where it passes some and the operator sets none`() throws {
    func own(_ field: String, _ rules: ForwardingRules, target: String = "/") throws -> Bool {
      rules.passesCredentials(of: try requestHead("GET \(target) HTTP/1.1\r\nHost: h\r\n\(field)\r\n\r\n"))
    }
    let credentials = ["Authorization", "Cookie", "X-Api-Key", "api-key", "X-Goog-Api-Key"]
    for name in credentials {
      #expect(try own("\(name): mine", rules()), "\(name)")
      #expect(try !own("\(name): mine", rules(removed: [name])), "\(name)")
      for set in credentials { #expect(try !own("\(name): mine", rules(set: [set])), "\(name) \(set)") }
      #expect(try own("\(name): mine", rules(set: ["X-Gateway-Key"])), "\(name)")
    }
    #expect(try !own("X-Other: mine", rules()))
    for query in ["key=1", "a=b&api_key=1", "access_token=x"] {
      #expect(try own("A: b", rules(), target: "/?\(query)"))
    }
    #expect(try !own("A: b", rules(), target: "/?monkey=1"))
    #expect(try !own("A: b", rules(set: ["X-Api-Key"]), target: "/?key=1"))
  }
}
