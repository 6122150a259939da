import Bytes
import HTTP
import Testing

@Suite struct PathTemplateTests {
  static func match(_ template: String, _ path: String) throws -> PathCaptures? {
    let bytes = Array(path.utf8)
    return try PathTemplate(parsing: template).match(bytes.span)
  }

  @Test(arguments: [
    ("/", "/", true), ("/", "/a", false), ("/v1/messages", "/v1/messages", true),
    ("/v1/messages", "/v1/messages/", false), ("/v1/messages", "/V1/messages", false),
    ("/v1/messages", "/v1/message", false), ("/v1/messages/", "/v1/messages/", true),
    ("/v1/messages", "/v1/mess%61ges", false), ("/v1/models:list", "/v1/models:list", true),
    ("/*", "/", true), ("/*", "/a/b", true), ("/v1/*", "/v1/", true), ("/v1/*", "/v1", false),
    ("/v1/*", "/v1/a/b", true), ("/v1*", "/v1", true), ("/v1*", "/v1beta/x", true), ("/v1*", "/v2", false),
    ("/*", "*", false),
  ])
  func `without captures, bytes are compared`(template: String, path: String, fits: Bool) throws {
    let captures = try Self.match(template, path)
    #expect((captures != nil) == fits)
    #expect(captures?.isEmpty ?? true)
  }

  @Test(arguments: [
    ("/fermata/streams/:id", "/fermata/streams/", ""), ("/a/:id/tail", "/a/", "/tail"), ("/:id/", "/", "/"),
  ])
  func `a path with one capture is what stands around it`(template: String, before: String, after: String) throws {
    let around = try #require(try PathTemplate(parsing: template).surroundings(of: "id"))
    #expect(around.before == Array(before.utf8) && around.after == Array(after.utf8))
    #expect(try PathTemplate(parsing: template).surroundings(of: "other") == nil)
  }

  @Test(arguments: ["/a", "/:id/*", "/:id/:other", "/:other/:id"])
  func `other paths say more than their capture`(template: String) throws {
    #expect(try PathTemplate(parsing: template).surroundings(of: "id") == nil)
  }

  @Test(arguments: [
    ("/share/:token", "/share/abc", "/share/:token"), ("/share/:token/x", "/share/abc/x", "/share/:token/x"),
    ("/:user/:token", "/me/abc", "/me/:token"), ("/:token/a/:key", "/abc/a/def", "/:token/a/:key"),
    ("/share/:token/*", "/share/abc/d/e", "/share/:token/d/e"),
    // What no route takes may still hold what is not to be said.
    ("/share/:token", "/share/a%zz", "/share/:token"), ("/share/:token/x", "/share/abc/y", "/share/:token/y"),
    ("/share/:token", "/share/abc/", "/share/:token/"),
    ("/share/:token", "/share/", nil), ("/share/:token", "/other/abc", nil), ("/:user", "/me", nil),
  ])
  func `a redacted path has a capture's name in its place`(template: String, path: String, redacted: String?) throws {
    let bytes = Array(path.utf8)
    let result = try PathTemplate(parsing: template).redacted(bytes.span, ["token", "key"])
    #expect(result.map { String(decoding: $0, as: UTF8.self) } == redacted)
  }

  @Test func `a capture stands for one segment`() throws {
    let captures = try #require(try Self.match("/api/agents/stream/:runId", "/api/agents/stream/run-7"))
    #expect(captures["runId"] == "run-7" && captures["other"] == nil && !captures.isEmpty)
    let two = try #require(try Self.match("/:tenant/runs/:run_id/tail", "/acme/runs/9/tail"))
    #expect(two["tenant"] == "acme" && two["run_id"] == "9")
    let open = try #require(try Self.match("/files/:owner/*", "/files/me/a/b"))
    #expect(open["owner"] == "me")
  }

  @Test(arguments: [
    ("a%20b", "a b"), ("a+b", "a+b"), ("%C3%A9", "é"), ("é", "é"), ("a%3Ab", "a:b"), ("...", "..."),
    ("%2e%2e%2e", "..."),
  ])
  func `a capture is decoded`(segment: String, value: String) throws {
    #expect(try Self.match("/run/:id", "/run/" + segment)?["id"] == value)
  }

  @Test(arguments: [
    "", "a/b", "a%2Fb", "a%2fb", ".", "..", "%2e", "%2E.", "a%", "a%4", "a%zz", "a%00", "a%0Ab", "%7F", "%FF", "%C3",
  ])
  func `what is no honest name does not fit`(segment: String) throws {
    #expect(try Self.match("/run/:id", "/run/" + segment) == nil)
  }

  @Test(arguments: ["/v1/..", "/v1/../admin", "/v1/a/%2e%2E/b", "/v1/.%2e", "/v1/a/.."])
  func `a beginning is not climbed out of`(path: String) throws {
    #expect(try Self.match("/v1/*", path) == nil)
  }

  @Test(arguments: ["/v1/..a", "/v1/.../b", "/v1/a..", "/v1/./a", "/v1/%2e%2e%2e"])
  func `dots in names are only dots`(path: String) throws {
    #expect(try Self.match("/v1/*", path) != nil)
  }

  @Test(arguments: [
    ("", PathTemplate.Fault.relative), ("v1", .relative), ("*", .relative), ("//", .emptySegment),
    ("/a//b", .emptySegment), ("/a/*/b", .star), ("/a**", .star), ("/:id*", .star), ("/a b", .invalidCharacter),
    ("/a?b", .invalidCharacter), ("/a#b", .invalidCharacter), ("/é", .invalidCharacter), ("/%zz", .invalidCharacter),
    ("/:", .captureName), ("/:9", .captureName), ("/:a-b", .captureName), ("/:a/:a", .repeatedCapture("a")),
  ])
  func `what is no template is refused`(text: String, fault: PathTemplate.Fault) {
    #expect(throws: fault) { try PathTemplate(parsing: text) }
  }

  @Test func `a template says what it was made of`() throws {
    let template = try PathTemplate(parsing: "/a/:b/c/:d/*")
    #expect(template.description == "/a/:b/c/:d/*" && template.captureNames == ["b", "d"])
  }
}
