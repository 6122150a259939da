import Flags
import JSON
import Testing

@Suite(.enabled(if: Assets.arePresent)) struct `Conformance with flagd` {
  @Test func `all rows of the Go evaluator hold`() throws {
    let rows = try Assets.lines("flagd-go/evaluator-cases-v0.16.1.jsonl")
    var passed = 0
    for row in rows {
      let key = try #require(row["flagKey"]?.string)
      var flag = try #require(row.object)
      for name in ["context", "expected", "flagKey"] { flag[name] = nil }
      let text = JSONValue.object(["flags": .object([key: .object(flag)])]).serialized()
      let set = try FlagSet(parsing: text, strictness: .daemon)
      let context = EvaluationContext(attributes: row["context"]?.object ?? JSONObject())
      let resolution = set.evaluate(key, context)
      let expected = row["expected"]
      let matches =
        resolution.reason.rawValue == expected?["reason"]?.string
        && (resolution.variant ?? "") == expected?["variant"]?.string
        && (resolution.errorCode?.rawValue ?? "") == expected?["error"]?.string
      #expect(matches, "\(row.text()) gave \(resolution)")
      passed += matches ? 1 : 0
    }
    report("Go evaluator rows", passed: passed, of: rows.count)
    #expect(rows.count == 64)
  }

  @Test func `all rows of the Go version comparison hold`() throws {
    let rows = try Assets.lines("flagd-go/semver-compare-v0.16.1.jsonl")
    var passed = 0
    for row in rows {
      let rule = JSONValue.object(["sem_ver": [row["v1"] ?? .null, row["op"] ?? .null, row["v2"] ?? .null]])
      var evaluator = RuleEvaluator(context: EvaluationContext(), flagKey: "f")
      let value = try evaluator.evaluate(try Rule(compiling: rule))
      let expected: JSONValue = row["error"] == true ? .null : row["want"] ?? .null
      #expect(value == expected, "\(row.text())")
      passed += value == expected ? 1 : 0
    }
    report("Go version rows", passed: passed, of: rows.count)
    #expect(rows.count == 28)
  }

  @Test(arguments: [
    ("jsonlogic/tests-pr48-308.json", 308, 308), ("jsonlogic/tests-json-logic-js-pr95-290.json", 290, 275),
  ])
  func `the JsonLogic suites hold`(_ path: String, _ total: Int, _ known: Int) throws {
    let rows = try Assets.json(path).array?.compactMap(\.array) ?? []
    var passed = 0
    for row in rows {
      var evaluator = RuleEvaluator(context: EvaluationContext(), flagKey: "f")
      guard let rule = try? Rule(compiling: row[0]), let value = try? evaluator.evaluate(rule, over: row[1]) else {
        if known == total { Issue.record("\(row[0].text()) has no result") }
        continue
      }
      #expect(value == row[2], "\(row[0].text()) over \(row[1].text()) gave \(value.text()), not \(row[2].text())")
      passed += value == row[2] ? 1 : 0
    }
    report(path, passed: passed, of: rows.count)
    #expect(rows.count == total && passed == known)
  }

  @Test func `where the three engines differ we follow Go`() throws {
    let data: JSONValue = [
      "a": "x", "n": 1, "s": "  pad ", "nul": .null, "arr": [1, 2], "obj": ["k": 1], "big": 1e21, "e": "", "f": 1.5,
    ]
    let lines = try Assets.text("jsonlogic/three-engine-differences.txt").split(separator: "\n").dropFirst()
    var (passed, skipped) = (0, 0)
    for line in lines {
      let columns = line.split(separator: "|").map { $0.drop { $0 == " " } }
      guard columns.count >= 3, columns[2].hasPrefix("go ") else { continue }
      var wanted = String(columns[2].dropFirst(3))
      while wanted.hasSuffix(" ") { wanted.removeLast() }
      let rule = try JSONValue(parsing: String(columns[0]))
      var evaluator = RuleEvaluator(context: EvaluationContext(), flagKey: "f")
      let result = try? evaluator.evaluate(try Rule(compiling: rule), over: data)
      // Long values are cut in the table; those two rows print all data.
      guard wanted.hasPrefix("ERROR") || (try? JSONValue(parsing: wanted)) != nil else {
        skipped += 1
        continue
      }
      let matches = wanted.hasPrefix("ERROR") ? result == nil : result == (try JSONValue(parsing: wanted))
      #expect(matches, "\(line)\n gave \(result?.text() ?? "an error")")
      passed += matches ? 1 : 0
    }
    report("engine differences, Go column", passed: passed, of: lines.count)
    #expect(passed + skipped == 63 && skipped == 2)
  }

  @Test func `all vectors of generation 3 hold`() throws {
    let definition = try Assets.json("fractional-v3/fractional-basic-flag.json")
    var document = try #require(definition.object)
    document["metadata"] = ["fractional": "v3"]
    let set = try FlagSet(parsing: JSONValue.object(document).serialized(), strictness: .daemon)
    let arguments = set["fractional-basic-flag"]?.targeting?["fractional"]?.array
    let variable = try #require(arguments?.first?["var"]?.string)
    let rows = try Assets.lines("fractional-v3/basic-flag-vectors.jsonl")
    var passed = 0
    for row in rows {
      let attributes: JSONObject = [variable: row["hashing_input"] ?? .null]
      let resolved = set.evaluate("fractional-basic-flag", EvaluationContext(attributes: attributes))
      let matches = resolved.variant == row["expected"]?.string
      #expect(matches, "\(row.text()) gave \(resolved.variant ?? "nothing")")
      passed += matches ? 1 : 0
    }
    report("generation 3 vectors", passed: passed, of: rows.count)
    #expect(rows.count == 111)
  }

  @Test func `the testbed's string vectors of generation 3 hold`() throws {
    func suits(_ prefix: String) -> JSONValue {
      .array(["clubs", "diamonds", "hearts", "spades"].map { [.string(prefix + $0), 25] })
    }
    func seeded(_ seed: JSONValue, _ prefix: String = "") -> JSONValue {
      ["fractional": .array([["cat": [seed, ["var": "user.name"]]]] + (suits(prefix).array ?? []))]
    }
    let rules: [String: JSONValue] = [
      "fractional-flag": seeded(["var": "$flagd.flagKey"]),
      "fractional-flag-shorthand": ["fractional": [["heads"], ["tails", 1]]],
      "fractional-flag-A-shared-seed": seeded("shared-seed"),
      "fractional-flag-B-shared-seed": seeded("shared-seed", "ace-of-"),
    ]
    var (passed, total) = (0, 0)
    for flag in try Assets.json("fractional-v3/testkit-string-vectors.json").object?.members ?? [] {
      let rule = try Rule(compiling: try #require(rules[flag.name]))
      for input in flag.value.object?.members ?? [] {
        for row in input.value.object?.members ?? [] {
          var context = EvaluationContext(attributes: ["user": ["name": .string(row.name)]])
          if input.name == "targetingKey" { context.targetingKey = row.name }
          var evaluator = RuleEvaluator(context: context, flagKey: flag.name, generation: .v3)
          let value = try evaluator.evaluate(rule)
          #expect(value == row.value, "\(flag.name) \(row.name)")
          passed += value == row.value ? 1 : 0
          total += 1
        }
      }
    }
    report("generation 3 string vectors", passed: passed, of: total)
    #expect(total == 18)
  }

  @Test func `all rows of hashes and buckets hold`() throws {
    let rows = try Assets.lines("rollout-hash-vectors.jsonl")
    var passed = 0
    for row in rows {
      var matches = true
      for generation in FractionalGeneration.allCases {
        for total in [100, 10_000] {
          let rule = try Rule(compiling: ["fractional": [["x", JSONValue(total)]]])
          guard case .fractional(let fractional) = rule else { continue }
          var evaluator = RuleEvaluator(
            context: EvaluationContext(targetingKey: row["targetingKey"]?.string),
            flagKey: row["flagKey"]?.string ?? "",
            generation: generation)
          let decision = try evaluator.decide(fractional)
          let expected = row[generation.rawValue]
          guard row["targetingKey"] != "" else {
            matches = matches && decision == nil
            continue
          }
          matches = matches && decision?.hash == expected?["hash"]?.integer.map(UInt32.init)
          if let bucket = expected?["bucket\(total)"]?.integer {
            matches = matches && decision?.bucket == UInt32(bucket)
          }
        }
      }
      var encoded: [UInt8] = []
      DeterministicCBOR.encode([row["flagKey"] ?? .null, row["targetingKey"] ?? .null], into: &encoded)
      let hexadecimal = encoded.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
      matches = matches && hexadecimal == row["v3"]?["cborHex"]?.string
      #expect(matches, "\(row.text())")
      passed += matches ? 1 : 0
    }
    report("hash rows", passed: passed, of: rows.count)
    #expect(rows.count == 208)
  }

  @Test func `good and broken files are told apart`() throws {
    var (good, broken) = (0, 0)
    for path in try Assets.files("schemas/json/test/flags/positive") + Assets.files("flagd-samples")
    where path.hasSuffix(".json") {
      // Written for the first `fractional`, which had another name.
      if path.hasSuffix("config_samples_example_flags.json") { continue }
      #expect(throws: Never.self, "\(path)") { try FlagSet(parsing: try Assets.bytes(path)) }
      good += 1
    }
    for path in try Assets.files("schemas/json/test/flags/negative") where !path.contains("array-flags") {
      #expect(throws: FlagFileError.self, "\(path)") { try FlagSet(parsing: try Assets.bytes(path)) }
      broken += 1
    }
    for kind in ["positive", "negative"] {
      for path in try Assets.files("schemas/json/test/targeting/\(kind)") {
        let document: JSONValue = [
          "$evaluators": ["some-ref": ["==": [1, 1]]],
          "flags": ["f": ["state": "ENABLED", "variants": ["a": "a"], "targeting": try Assets.json(path)]],
        ]
        let faults = FlagFileSchema.faults(in: document)
        #expect(faults.isEmpty == (kind == "positive"), "\(path): \(faults)")
        if kind == "positive" { good += 1 } else { broken += 1 }
      }
    }
    report("good files", passed: good, of: good)
    report("broken files", passed: broken, of: broken)
  }

  @Test func `the Python provider's files get the verdict of the schema`() throws {
    // What the schema allows although the provider does not.
    let allowed = ["invalid-fractional-weights.json"]
    var checked = 0
    for path in try Assets.files("python-provider-flags") where path.hasSuffix("json") {
      let name = path.split(separator: "/").last.map(String.init) ?? path
      let isGood =
        allowed.contains(name)
        || (name.hasPrefix("basic-flag")
          && !["broken", "no-state", "wrong", "not-json"].contains { name.contains($0) })
      let loaded = try? FlagSet(parsing: try Assets.bytes(path))
      #expect((loaded != nil) == isGood, "\(name)")
      checked += 1
    }
    report("Python provider files", passed: checked, of: checked)
  }
}
