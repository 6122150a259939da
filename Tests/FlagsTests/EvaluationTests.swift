import Flags
import FoundationEssentials
import JSON
import Testing

@Suite struct `Evaluation` {
  private func set(_ flag: String, generation: String = "v2") throws -> FlagSet {
    let text = #"{"flags":{"f":\#(flag)},"metadata":{"version":"7","flagSetId":"g","fractional":"\#(generation)"}}"#
    return try FlagSet(parsing: [UInt8](text.utf8))
  }

  private let rule = #"""
    {"state":"ENABLED","variants":{"legacy":"l","shield":"s","graceful":"g"},"defaultVariant":"legacy","targeting":
    {"if":[{"in":[{"var":["targetingKey",""]},["qa-1","qa-2"]]},"graceful",
    {"and":[{"==":[{"var":"client"},"acme-web"]},{"sem_ver":[{"var":"version"},">=","2.3.0"]},
    {"starts_with":[{"var":"headers.x-region"},"eu-"]}]},"shield",{"var":"internal"},"graceful",
    {"fractional":[["graceful",2500],["legacy",7500]]}]}}
    """#

  @Test func `each slot of the context reaches the rule`() throws {
    let set = try set(rule)
    let region = [EvaluationContext.Header(name: "x-region", value: "eu-west")]
    let cases: [(EvaluationContext, String, Resolution.Reason)] = [
      (EvaluationContext(targetingKey: "qa-2"), "graceful", .targetingMatch),
      (EvaluationContext(client: "acme-web", version: "2.10.0", headers: region), "shield", .targetingMatch),
      (EvaluationContext(client: "acme-web", version: "2.3.0-rc.1", headers: region), "legacy", .default),
      (EvaluationContext(isInternal: true), "graceful", .targetingMatch),
      (EvaluationContext(targetingKey: "client-00001"), "legacy", .targetingMatch),
      (EvaluationContext(), "legacy", .default),
      (
        EvaluationContext(attributes: ["client": "acme-web", "version": "3", "headers": ["x-region": "eu-1"]]),
        "shield",
        .targetingMatch
      ),
    ]
    for (context, variant, reason) in cases {
      let resolution = set.evaluate("f", context)
      #expect(resolution.variant == variant && resolution.reason == reason, "\(context)")
    }
  }

  @Test func `states, defaults and faults have their reasons`() throws {
    let plain = #""variants":{"a":"x","b":"y"}"#
    let cases: [(String, String?, Resolution.Reason, Resolution.ErrorCode?)] = [
      (#"{"state":"ENABLED",\#(plain),"defaultVariant":"b"}"#, "b", .static, nil),
      (#"{"state":"ENABLED",\#(plain),"defaultVariant":"b","targeting":{}}"#, "b", .static, nil),
      (#"{"state":"ENABLED",\#(plain)}"#, nil, .default, nil),
      (#"{"state":"ENABLED",\#(plain),"defaultVariant":null,"targeting":{"var":"none"}}"#, nil, .default, nil),
      (#"{"state":"ENABLED",\#(plain),"defaultVariant":"a","targeting":{"var":"none"}}"#, "a", .default, nil),
      (#"{"state":"DISABLED",\#(plain),"defaultVariant":"a"}"#, nil, .disabled, nil),
      (#"{"state":"ENABLED",\#(plain),"targeting":{"cat":["c"]}}"#, nil, .error, .general),
      (#"{"state":"ENABLED",\#(plain),"targeting":{"+":[true,1]}}"#, nil, .error, .parseError),
      (#"{"state":"ENABLED",\#(plain),"targeting":{"merge":["a"]}}"#, nil, .error, .general),
    ]
    for (flag, variant, reason, code) in cases {
      let resolution = try set(flag).evaluate("f", EvaluationContext())
      #expect(resolution.variant == variant && resolution.reason == reason && resolution.errorCode == code, "\(flag)")
    }
    let set = try set(cases[0].0)
    #expect(set.evaluate("other", EvaluationContext()).errorCode == .flagNotFound)
    #expect(set.evaluate("f", EvaluationContext()).required(.boolean).errorCode == .typeMismatch)
    #expect(set.evaluate("f", EvaluationContext()).required(.string).value == "y")
    #expect(set.version == "7" && set.identifier == "g" && set.hash.utf8.count == 64)
  }

  @Test func `a caller cannot bring its own $flagd`() throws {
    let flag = #"{"state":"ENABLED","variants":{"f":1,"x":2},"targeting":{"var":"$flagd.flagKey"}}"#
    let context = EvaluationContext(attributes: ["$flagd": ["flagKey": "x"]])
    #expect(try set(flag).evaluate("f", context).variant == "f")
    let whole = #"{"state":"ENABLED","variants":{"f":1,"x":2},"targeting":{"if":[true,{"var":"$flagd.flagKey"}]}}"#
    #expect(try set(whole).evaluate("f", context).variant == "f")
  }

  @Test func `metadata of the flag lies over that of the set`() throws {
    let flag = #"{"state":"ENABLED","variants":{"f":1},"metadata":{"version":"9","own":true}}"#
    let metadata = try #require(try set(flag)["f"]?.metadata)
    #expect(metadata["version"] == "9" && metadata["own"] == true && metadata["flagSetId"] == "g")
  }

  @Test func `the generation decides the bucket`() throws {
    let flag = #"{"state":"ENABLED","variants":{"a":1,"b":2},"targeting":{"fractional":[["a",70],["b",30]]}}"#
    let context = EvaluationContext(targetingKey: "client-00000")
    var answers: [String: [String]] = [:]
    for generation in ["v2", "v3"] {
      let set = try set(flag, generation: generation)
      answers[generation] = (0..<64).map { index in
        set.evaluate("f", EvaluationContext(targetingKey: "client-\(index)")).variant ?? ""
      }
      #expect(set.evaluate("f", context).reason == .targetingMatch)
    }
    #expect(answers["v2"] != answers["v3"])
  }

  @Test(arguments: [
    ("<b>", nil as String?), ("a&b", nil), ("a\"b", nil), ("plain", "plain"), ("ü\u{2028}", nil), ("日本", "日本"),
    ("–", "–"),
  ])
  func `names that Go escapes cannot be reached`(_ name: String, _ found: String?) throws {
    let flag: JSONValue = ["state": "ENABLED", "variants": [name: 1], "targeting": ["cat": [.string(name)]]]
    #expect(try set(flag.text()).evaluate("f", EvaluationContext()).variant == found)
  }

  @Test func `the shipped file and the built-in flags say the same`() throws {
    let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")
    let data = try Data(contentsOf: URL(filePath: "\(root)/flags/stream-closing.flagd.json"))
    let shipped = try FlagSet(parsing: [UInt8](data), requiring: [.streamClosing])
    #expect(shipped.warnings.isEmpty && shipped.version == "1" && shipped.generation == .v2)
    for set in [shipped, FlagSet.builtIn] {
      let resolution = set.evaluate(.streamClosing, EvaluationContext(targetingKey: "x", capability: "stream_end"))
      #expect(resolution.variant == "legacy" && resolution.value == "legacy" && resolution.reason == .static)
      #expect(set["stream-closing"]?.variants.map(\.name) == ["legacy", "shield", "graceful"])
    }
  }

  @Test func `a rule that never ends is stopped`() throws {
    let list = "[" + (0..<2000).map { "\($0)" }.joined(separator: ",") + "]"
    let flag = """
      {"state":"ENABLED","variants":{"a":1},"targeting":{"map":[\(list),{"map":[\(list),{"map":[\(list),1]}]}]}}
      """
    #expect(try set(flag).evaluate("f", EvaluationContext()).errorCode == .parseError)
    let endless = #"{"state":"ENABLED","variants":{"a":1},"targeting":{"if":[true,{"var":"me"}]}}"#
    let context = EvaluationContext(attributes: ["me": ["if": [true, ["var": "me"]]]])
    #expect(try set(endless).evaluate("f", context).errorCode == .parseError)
  }
}
