import Flags
import JSON
import Testing

@Suite struct `Flag files` {
  private func error(_ text: String, requiring: [FlagKey] = []) -> FlagFileError? {
    do {
      _ = try FlagSet(parsing: [UInt8](text.utf8), requiring: requiring)
      return nil
    } catch {
      return error
    }
  }

  @Test(arguments: [
    ("", "", 1), ("null", "", 1), ("[]", "", 1), ("{}", "", 1), ("{\"flags\":null}", "/flags", 1),
    ("{\"flags\":3}", "/flags", 1),
    ("{\"flags\":{}}x", "", 1), ("\u{FEFF}{\"flags\":{}}", "", 1),
    (
      "{\"flags\":{\"f\":\n{\"state\":\"ENABLED\",\"variants\":{\"a\":1},\n\"defaultVariant\":\"b\"}}}",
      "/flags/f/defaultVariant", 3
    ),
    ("{\"flags\":{\"f\":\n{\"state\":\"enabled\",\"variants\":{\"a\":1}}}}", "/flags/f/state", 2),
    ("{\"flags\":{\"f\":{\"state\":\"ENABLED\",\"variants\":{\"a\":1,\n\"b\":true}}}}", "/flags/f/variants/b", 2),
    (
      "{\"flags\":{\"f\":{\"state\":\"ENABLED\",\"variants\":{\"a\":1},\"targeting\":{\"iff\":[1]}}}}",
      "/flags/f/targeting/iff", 1
    ),
    ("{\"flags\":{\"f\":{\"state\":\"ENABLED\",\"variants\":{\"a\":1},\"targeting\":null}}}", "/flags/f/targeting", 1),
    (
      "{\"flags\":{\"f\":{\"state\":\"ENABLED\",\"variants\":{\"a\":1},\"targeting\":{\"$ref\":\"x\"}}}}",
      "/flags/f/targeting/$ref", 1
    ),
    ("{\"flags\":{},\"metadata\":{\"fractional\":\"v4\"}}", "/metadata/fractional", 1),
    ("{\"flags\":{},\"metadata\":{\"version\":4}}", "/metadata/version", 1),
    ("{\"flags\":{},\n\"flags\":{}}", "", 2),
  ])
  func `a fault is told with pointer and line`(_ text: String, _ pointer: String, _ line: Int) throws {
    let fault = try #require(error(text)).first
    #expect(fault.pointer.description == pointer && fault.position.line == line, "\(fault)")
  }

  @Test func `a file without a flag that is needed is refused`() {
    #expect(error("{\"flags\":{}}") == nil)
    #expect(error("{\"flags\":{}}", requiring: [.streamClosing])?.first.pointer.description == "/flags")
  }

  @Test func `a file whose variants are no modes is refused where modes are needed`() {
    func file(_ variant: String) -> String {
      "{\"flags\":{\"stream-closing\":{\"state\":\"ENABLED\",\"variants\":{\"legacy\":\"a\",\"\(variant)\":\"b\"}}}}"
    }
    #expect(error(file("shield"), requiring: [.streamClosing]) == nil)
    #expect(error(file("gracefull")) == nil)
    let fault = error(file("gracefull"), requiring: [.streamClosing])?.first
    #expect(fault?.pointer.description == "/flags/stream-closing/variants/gracefull")
    #expect(fault?.message.contains("did you mean \"graceful\"?") == true)
    #expect(FlagLinter.lint([UInt8](file("gracefull").utf8)).contains { $0.severity == .error })
  }

  @Test(arguments: [
    ("7", "7"), ("release 7 ~", "release 7 ~"), ("a\\\"b", "a\\\"b"), ("a\nb{} 1\n", "a?b{} 1?"), ("\u{1B}[2J", "?[2J"),
    ("é", "?"), (String(repeating: "x", count: 200), String(repeating: "x", count: 128)),
  ])
  func `a file is called by its version, of which 128 printable bytes are shown`(_ version: String, _ name: String)
    throws
  {
    let document: JSONValue = ["flags": [:], "metadata": ["version": .string(version)]]
    let set = try FlagSet(parsing: document.serialized(.compact))
    #expect(set.version == version && set.name == name)
    let isTold = FlagLinter.lint(document.serialized(.compact)).contains {
      $0.pointer.description == "/metadata/version" && $0.severity == .warning
    }
    #expect(isTold == (version != name))
  }

  @Test func `a file without a version is called by its short hash, and no file at all built-in`() throws {
    for text in ["{\"flags\":{}}", "{\"flags\":{},\"metadata\":{\"version\":\"\"}}"] {
      let set = try FlagSet(parsing: [UInt8](text.utf8))
      #expect(set.name == set.hash.prefix(12) && set.name.count == 12)
    }
    #expect(FlagSet.builtIn.name == "built-in")
  }

  @Test func `rules beyond the limits are refused`() throws {
    func file(_ rule: String) -> String {
      "{\"flags\":{\"f\":{\"state\":\"ENABLED\",\"variants\":{\"a\":1},\"targeting\":\(rule)}}}"
    }
    let many = (0..<10_000).map { "\"k\($0)\"" }.joined(separator: ",")
    #expect(error(file("{\"in\":[{\"var\":\"x\"},[\(many)]]}"))?.first.message.contains("10000 nodes") == true)
    let deep = String(repeating: "{\"!\":[", count: 33) + "1" + String(repeating: "]}", count: 33)
    #expect(error(file(deep)) != nil)
    #expect(error(String(repeating: " ", count: 1 << 20) + "{}") != nil)
  }

  @Test func `references are replaced one level deep`() throws {
    let text = """
      {"flags":{"f":{"state":"ENABLED","variants":{"a":1,"b":2},"targeting":{"if":[{"$ref":"isX"},"a","b"]}}},
       "$evaluators":{"isX":{"==":[{"var":"x"},"1"]}}}
      """
    let set = try FlagSet(parsing: [UInt8](text.utf8))
    #expect(set.evaluate("f", EvaluationContext(attributes: ["x": "1"])).variant == "a")
    #expect(set.evaluate("f", EvaluationContext(attributes: ["x": "2"])).variant == "b")
    let nested = text.replacing("{\"==\":[{\"var\":\"x\"},\"1\"]}", with: "{\"!\":[{\"$ref\":\"isX\"}]}")
    #expect(error(nested)?.first.pointer.description == "/$evaluators/isX/!/0/$ref")
  }

  @Test func `the daemon's leniency is there when asked for`() throws {
    let text = #"{"flags":[{"key":"f","variants":{"a":1},"defaultVariant":"a","extra":1}]}"#
    let set = try FlagSet(parsing: [UInt8](text.utf8), strictness: .daemon)
    #expect(set.evaluate("f", EvaluationContext()).variant == "a")
  }
}
