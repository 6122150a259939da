import JSON
import Testing

/// An edited text keeps the bytes of what the edit left alone.
@Suite struct `JSON rewriting` {
  /// Spelt as nobody's writer would spell it.
  private static let text = """
    {
        "rule" : {"if":[ {"==":[{"var":"caf\\u00e9"}, 1.0]},   1e2, "a\\/b" ],
                  "z": -0.0, "a": [1.50 , 12345678901234567890]},
        "count": 1.0,
        "list": [ {"b":1, "a":2}, 3.0 ],
        "last": "x" }

    """

  private func rewritten(_ text: String, _ edit: (inout JSONValue) -> Void) throws -> String {
    let document = try JSONDocument(parsing: [UInt8](text.utf8))
    var value = document.value
    edit(&value)
    let bytes = document.rewritten(as: value)
    #expect(try JSONValue(parsing: bytes) == value)
    return String(decoding: bytes, as: UTF8.self)
  }

  @Test func `without a change every byte stays`() throws {
    #expect(try rewritten(Self.text) { _ in } == Self.text)
  }

  @Test func `a changed, a removed and a new member leave the others' bytes alone`() throws {
    let changed = try rewritten(Self.text) { $0[path: ["last"]] = "y" }
    #expect(changed == Self.text.replacing("\"x\"", with: "\"y\""))
    let removed = try rewritten(Self.text) { $0[path: ["count"]] = nil }
    #expect(removed == Self.text.replacing("    \"count\": 1.0,\n", with: ""))
    let first = try rewritten(Self.text) { $0[path: ["rule"]] = nil }
    #expect(first.hasPrefix("{\n    \"count\": 1.0,\n    \"list\": ["))
    let last = try rewritten(Self.text) { $0[path: ["last"]] = nil }
    #expect(last.hasSuffix("\"list\": [ {\"b\":1, \"a\":2}, 3.0 ] }\n"))
    let added = try rewritten(Self.text) { $0[path: ["own", "deep"]] = 1 }
    #expect(added == Self.text.replacing("\"x\" }", with: "\"x\",\n    \"own\": {\n      \"deep\": 1\n    } }"))
  }

  @Test func `inside a list the neighbours of a changed element stay`() throws {
    let changed = try rewritten(Self.text) { $0[path: ["list", "0", "a"]] = 5 }
    #expect(changed == Self.text.replacing("\"a\":2", with: "\"a\":5"))
  }

  @Test func `a value that is put inside another keeps its bytes there`() throws {
    let rule = #"{"if":[ {"==":[{"var":"caf\u00e9"}, 1.0]},   1e2, "a\/b" ]}"#
    let wrapped = try rewritten("{\"rule\": \(rule)}") { value in
      value[path: ["rule"]] = ["if": [true, "graceful", value["rule"] ?? .null]]
    }
    #expect(wrapped == "{\"rule\": {\"if\":[true,\"graceful\",\(rule)]}}")
  }

  @Test(arguments: ["{}", "[]", "1.0", "{\"a\":{}}", " { \"a\" : [ ] } ", "{\n\t\"a\": 1}"])
  func `what a text has little of is no matter`(_ text: String) throws {
    _ = try rewritten(text) { $0 = ["b": [1, ["c": 2.5]], "a": $0] }
    _ = try rewritten(text) { $0[path: ["a", "x"]] = "é" }
    _ = try rewritten(text) { $0[path: ["a"]] = nil }
  }
}
