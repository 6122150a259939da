import EventSamples
import JSON
import Testing

@Suite struct `JSON parsing` {
  @Test func `members keep the order of the text`() throws {
    let value = try JSONValue(parsing: #"{"z":1,"a":{"y":[true,null,"x"]},"m":-2.5e1}"#)
    #expect(value.object?.names == ["z", "a", "m"])
    #expect(value.text() == #"{"z":1,"a":{"y":[true,null,"x"]},"m":-25}"#)
  }

  @Test func `escapes mean what the standard says`() throws {
    let value = try JSONValue(parsing: #"["\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t", "\u0000"]"#)
    #expect(value == ["é😀\"\\/\u{8}\u{c}\n\r\t", "\u{0}"])
  }

  @Test(arguments: [
    ("", 1, 1), ("{", 1, 2), ("[1,2", 1, 5), ("{\"a\":1,}", 1, 8), ("[1,]", 1, 4), ("{\"a\" 1}", 1, 6),
    ("[1] x", 1, 5), ("nul", 1, 1), ("[\n  1,\n  oops\n]", 3, 3), ("{a:1}", 1, 2), ("['a']", 1, 2), ("[.5]", 1, 2),
    ("[01]", 1, 2), ("[1.]", 1, 2), ("[-]", 1, 2), ("[1e999]", 1, 2), ("[\"\\q\"]", 1, 2), ("[\"\\ud800\"]", 1, 2),
    ("[\"a\nb\"]", 1, 4), ("[\"abc", 1, 2), ("// c\n1", 1, 1), ("[1 2]", 1, 4), ("{\"a\":1 \"b\":2}", 1, 8),
    ("\u{FEFF}{}", 1, 1), ("[1}", 1, 3), ("]", 1, 1), ("NaN", 1, 1), ("{\"a\":1,\n \"a\":2}", 2, 2),
  ])
  func `a text that is not JSON is refused at its place`(_ text: String, _ line: Int, _ column: Int) {
    #expect { try JSONValue(parsing: text) } throws: { error in
      (error as? JSONError)?.position == JSONPosition(line: line, column: column)
    }
  }

  @Test func `invalid UTF-8 is refused`() {
    #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22, 0xFF, 0x22]) }
    #expect(throws: JSONError.self) { try JSONValue(parsing: [0x22, 0xED, 0xA0, 0x80, 0x22]) }
  }

  @Test func `JSON5 brings comments, trailing commas, bare names, quotes and numbers`() throws {
    let text = "{ // c\n a_1: 'x\"y', /* d */ $b: [+1, .5, 5., 0x10,], 'q r': \"it's\", }"
    let value = try JSONValue(parsing: text, dialect: .json5)
    #expect(value == ["a_1": "x\"y", "$b": [1, 0.5, 5, 16], "q r": "it's"])
  }

  @Test(arguments: [
    "[NaN]", "[Infinity]", "[-Infinity]", "['a\\\nb']", "[,]", "{,}", "/* x", "[1,,2]", "{1:2}", "[0x]",
  ])
  func `JSON5 does not bring what is a mistake in a configuration`(_ text: String) {
    #expect(throws: JSONError.self) { try JSONValue(parsing: text, dialect: .json5) }
  }

  @Test func `depth, size and number of values are limited`() throws {
    let nested = String(repeating: "[", count: 64) + String(repeating: "]", count: 64)
    #expect(throws: Never.self) { try JSONValue(parsing: nested) }
    #expect(throws: JSONError.self) { try JSONValue(parsing: "[\(nested)]") }
    #expect(throws: JSONError.self) {
      try JSONValue(parsing: [UInt8]("[1,2,3]".utf8), limits: JSONLimits(bytes: 6))
    }
    #expect(throws: JSONError.self) {
      try JSONValue(parsing: [UInt8]("[1,2,3,4]".utf8), limits: JSONLimits(tokens: 5))
    }
    #expect(throws: JSONError.self) { try JSONValue(parsing: String(repeating: "[", count: 500_000)) }
  }

  @Test func `a pointer leads to the line of its value`() throws {
    let text = "{\n  \"a\": {\n    \"b/c\": [1,\n      {\"~\": 2}]\n  },\n  \"d\": 3\n}"
    let document = try JSONDocument(parsing: [UInt8](text.utf8))
    #expect(document.position(of: JSONPointer([])) == JSONPosition(line: 1, column: 1))
    #expect(document.position(of: JSONPointer(["a", "b/c", "1", "~"])) == JSONPosition(line: 4, column: 13))
    #expect(document.position(of: JSONPointer(["d"])) == JSONPosition(line: 6, column: 8))
    #expect(document.position(of: JSONPointer(["a", "missing"])) == JSONPosition(line: 2, column: 8))
    #expect(JSONPointer(["a", "b/c", "1", "~"]).description == "/a/b~1c/1/~0")
  }

  @Test func `strings are compared by their bytes`() {
    #expect(JSONValue.string("e\u{301}") != JSONValue.string("\u{e9}"))
  }

  @Test func `large objects are found by name, edited and compared in any order`() {
    var object = JSONObject((0..<50).map { JSONObject.Member(name: "n\($0)", value: JSONValue($0)) })
    #expect(object["n49"] == 49)
    object["n10"] = nil
    object["new"] = "x"
    #expect(object["n10"] == nil && object["n49"] == 49 && object["new"] == "x" && object.count == 50)
    #expect(object == JSONObject(object.members.reversed()))
  }
}

@Suite struct `JSON writing` {
  @Test func `the pretty form is stable and reads back`() throws {
    let value: JSONValue = [
      "flags": ["a": ["state": "ENABLED", "fractional": [["on", 1], ["off", 99]], "empty": [:], "none": []]],
      "text": "line\n\u{1}\"\\é/",
    ]
    let expected = """
      {
        "flags": {
          "a": {
            "state": "ENABLED",
            "fractional": [["on", 1], ["off", 99]],
            "empty": {},
            "none": []
          }
        },
        "text": "line\\n\\u0001\\"\\\\é/"
      }
      """
    #expect(value.text(.pretty) == expected)
    #expect(try JSONValue(parsing: expected) == value)
  }

  @Test func `the canonical form does not depend on the order of members`() throws {
    let one = try JSONValue(parsing: #"{"b":1,"a":{"d":2,"c":3}}"#)
    let other = try JSONValue(parsing: #"{"a":{"c":3,"d":2},"b":1}"#)
    #expect(one.text(.canonical) == other.text(.canonical))
    #expect(one.text(.canonical) == #"{"a":{"c":3,"d":2},"b":1}"#)
  }

  @Test(arguments: [
    (0.0, "0"), (-0.0, "0"), (1e15, "1000000000000000"), (0.1, "0.1"), (1e300, "1e+300"), (-2.5, "-2.5"),
  ])
  func `numbers are written shortest`(_ number: Double, _ text: String) {
    #expect(JSONValue.number(number).text() == text)
  }

  @Test func `random values survive writing and reading`() throws {
    var random = SeededGenerator(seed: 1)
    for _ in 0..<500 {
      let value = randomValue(depth: 4, &random)
      for layout in [JSONLayout.compact, .pretty, .canonical] {
        #expect(try JSONValue(parsing: value.serialized(layout)) == value)
      }
    }
  }

  private func randomValue(depth: Int, _ random: inout SeededGenerator) -> JSONValue {
    switch Int.random(in: depth > 0 ? 0...5 : 0...3, using: &random) {
    case 0: return .null
    case 1: return .bool(Bool.random(using: &random))
    case 2: return .number(Double.random(in: -1e9...1e9, using: &random))
    case 3: return .string(String((0..<Int.random(in: 0...8)).map { _ in "aé\"\\\n😀\u{2}/ ".randomElement() ?? "x" }))
    case 4: return .array((0..<Int.random(in: 0...4)).map { _ in randomValue(depth: depth - 1, &random) })
    default:
      let members = (0..<Int.random(in: 0...20)).map { index in
        JSONObject.Member(name: "k\(index)", value: randomValue(depth: depth - 1, &random))
      }
      return .object(JSONObject(members))
    }
  }
}
