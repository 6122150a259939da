import Flags
import JSON
import Testing

/// What each operator does, quirks of the Go engine included, without the collected test data.
@Suite struct `Rule operators` {
  private static let data: JSONValue = [
    "a": "x", "n": 2, "zero": 0, "empty": "", "nul": .null, "yes": true, "list": [1, 2, 3], "words": ["u", "v"],
    "deep": ["er": ["est": 7]], "items": [["q": 1], ["q": 5]], "rule": ["cat": ["p", "q"]],
  ]

  private func value(_ rule: String) throws -> JSONValue? {
    var evaluator = RuleEvaluator(context: EvaluationContext(targetingKey: "k"), flagKey: "f")
    guard let rule = try? Rule(compiling: try JSONValue(parsing: rule)) else { return nil }
    return try? evaluator.evaluate(rule, over: Self.data)
  }

  private static let results: [(String, String)] = [
    // Variables: paths, lists, defaults for missing and null.
    (#"{"var":"a"}"#, "\"x\""), (#"{"var":"deep.er.est"}"#, "7"), (#"{"var":"deep..er."}"#, #"{"est":7}"#),
    (#"{"var":"list.1"}"#, "2"), (#"{"var":"list.9"}"#, "null"), (#"{"var":"list.x"}"#, "1"),
    (#"{"var":["no","d"]}"#, "\"d\""),
    (#"{"var":["nul","d"]}"#, "\"d\""), (#"{"var":["empty","d"]}"#, "\"\""), (#"{"var":["no","d","e"]}"#, "null"),
    (#"{"var":"a.n"}"#, "2"), (#"{"var":null}"#, "null"), (#"{"var":{"cat":["a",""]}}"#, "\"x\""),
    (#"{"var":["",1]}"#, "null"),
    // Truth: "0" and lists count, empty things do not.
    (#"{"!!":["0"]}"#, "true"), (#"{"!!":[[]]}"#, "false"), (#"{"!!":[{}]}"#, "false"),
    (#"{"!":{"var":"list"}}"#, "false"),
    (#"{"!":[[]]}"#, "true"), (#"{"!":[]}"#, "true"), (#"{"!":[0,1]}"#, "true"),
    (#"{"if":[]}"#, "null"), (#"{"if":[5]}"#, "5"), (#"{"if":[0,1]}"#, "null"), (#"{"if":[0,1,"",2,3]}"#, "3"),
    (#"{"?:":["0",1,2]}"#, "1"), (#"{"if":[true,{"var":"rule"}]}"#, "\"pq\""), (#"{"and":[1,"",2]}"#, "\"\""),
    (#"{"and":[1,2]}"#, "2"), (#"{"or":[0,"",[]]}"#, "[]"), (#"{"or":[0,3,{"nope":1}]}"#, "3"),
    (#"{"and":[]}"#, "null"),
    // Equality and order.
    (#"{"==":[1,"1.0"]}"#, "true"), (#"{"==":["",0]}"#, "true"), (#"{"==":[null,0]}"#, "false"),
    (#"{"==":[null,null]}"#, "true"),
    (#"{"==":["1","1.0"]}"#, "false"), (#"{"==":[true,1]}"#, "true"), (#"{"==":[[1],[1]]}"#, "false"),
    (#"{"===":[1,"1"]}"#, "false"),
    (#"{"===":[null,{"var":"no"}]}"#, "true"), (#"{"!==":["a","a"]}"#, "false"), (#"{"<":["a","b"]}"#, "true"),
    (#"{"<":["10","9"]}"#, "true"), (#"{"<":[10,"9"]}"#, "false"), (#"{"<":[null,1]}"#, "true"),
    (#"{">=":[null,0]}"#, "false"),
    (#"{"<=":[1,1,2]}"#, "true"), (#"{"<":[1,1,2]}"#, "false"), (#"{">":[3,2,1]}"#, "true"), (#"{"<":[1]}"#, "false"),
    (#"{"<":["x",1]}"#, "false"), (#"{"<":["0x1",5]}"#, "false"),
    // Arithmetic.
    (#"{"+":["1","x",2]}"#, "3"), (#"{"+":"3.5"}"#, "3.5"), (#"{"-":[2]}"#, "-2"), (#"{"-":[5,3,1]}"#, "1"),
    (#"{"-":[]}"#, "0"),
    (#"{"*":[]}"#, "1"), (#"{"*":[2,"3"]}"#, "6"), (#"{"/":[6,3,2]}"#, "1"), (#"{"%":[-5,3]}"#, "-2"),
    (#"{"min":[]}"#, "null"),
    (#"{"max":[1,"7",3]}"#, "7"), (#"{"abs":[-2]}"#, "2"),
    // Text.
    (#"{"cat":["a ",1,null," "]}"#, "\"a 1\""), (#"{"cat":[" a "]}"#, "\" a \""), (#"{"cat":" a "}"#, "\" a \""),
    (#"{"cat":[1e21,""]}"#, "\"1000000000000000000000\""),
    (#"{"cat":[1.0,0.000001]}"#, "\"10.000001\""), (#"{"substr":["jsonlogic",-5,3]}"#, "\"log\""),
    (#"{"substr":["aé😀b",2,1]}"#, "\"😀\""),
    (#"{"substr":["abc",9]}"#, "\"abc\""), (#"{"substr":["abc",1,-1]}"#, "\"b\""),
    (#"{"starts_with":["abc","ab"]}"#, "true"),
    (#"{"starts_with":["abc",""]}"#, "true"), (#"{"ends_with":["abc","C"]}"#, "false"),
    (#"{"ends_with":["abc",1]}"#, "null"),
    (#"{"starts_with":["a","ab"]}"#, "false"), (#"{"starts_with":["a"]}"#, "null"),
    (#"{"sem_ver":["v1.2",">=","1.2.0"]}"#, "true"), (#"{"sem_ver":["0.2.0","^","0.1.0"]}"#, "true"),
    (#"{"sem_ver":["1.2.0","~","1.2.9"]}"#, "true"),
    (#"{"sem_ver":["1.0-alpha","<","1.0.0"]}"#, "null"), (#"{"sem_ver":[1.10,"=","1.1.0"]}"#, "true"),
    (#"{"sem_ver":[1000000,">","1.0.0"]}"#, "null"),
    (#"{"sem_ver":["1.0.0","is","1.0.0"]}"#, "null"), (#"{"sem_ver":["1.0.0","="]}"#, "null"),
    // Lists.
    (#"{"in":["u",{"var":"words"}]}"#, "true"), (#"{"in":["b","abc"]}"#, "true"), (#"{"in":["",""]}"#, "true"),
    (#"{"in":[1,["1"]]}"#, "true"),
    (#"{"in":["1",[1]]}"#, "false"), (#"{"in":[5,[[1,10]]]}"#, "true"), (#"{"in":["a"]}"#, "false"),
    (#"{"in":["a",5]}"#, "false"),
    (#"{"merge":[1,[2,[3]]]}"#, "[1,2,[3]]"), (#"{"merge":"x"}"#, "[\"x\"]"),
    (#"{"missing":["a","no","nul","empty"]}"#, #"["no","nul"]"#),
    (#"{"missing":"no"}"#, #"["no"]"#), (#"{"missing_some":[1,["a","no"]]}"#, "[]"),
    (#"{"missing_some":[2,["a","no"]]}"#, #"["no"]"#),
    (#"{"map":[{"var":"list"},{"*":[{"var":""},2]}]}"#, "[2,4,6]"), (#"{"map":[{"var":"no"},1]}"#, "[]"),
    (#"{"filter":[{"var":"list"},{">":[{"var":""},{"var":"n"}]}]}"#, "[3]"), (#"{"all":[[],true]}"#, "false"),
    (#"{"none":[[],true]}"#, "true"),
    (#"{"some":[{"var":"items"},{">":[{"var":"q"},4]}]}"#, "true"),
    (#"{"all":[{"var":"items"},{">":[{"var":"q"},4]}]}"#, "false"),
    (#"{"reduce":[{"var":"list"},{"+":[{"var":"current"},{"var":"accumulator"}]},10]}"#, "16"),
    (#"{"reduce":[{"var":"no"},1,10]}"#, "0"),
    (#"{"reduce":[{"var":"words"},{"cat":[{"var":"accumulator"},{"var":"current"}]},""]}"#, "\"uv\""),
    // Data is data.
    (#"{"a":1,"b":2}"#, #"{"a":1,"b":2}"#), ("{}", "{}"), (#"[1,{"var":"n"}]"#, "[1,2]"),
  ]

  @Test(arguments: results) func `each operator has its result`(_ rule: String, _ expected: String) throws {
    #expect(try value(rule) == (try JSONValue(parsing: expected)))
  }

  @Test(arguments: [
    #"{"nope":[1]}"#, #"{"if":true}"#, #"{"and":{"var":"list"}}"#, #"{"+":[null,1]}"#, #"{"+":[true]}"#, #"{"-":"5"}"#,
    #"{"/":[1,0]}"#,
    #"{"%":[5,0]}"#, #"{"%":[5]}"#, #"{"min":[[1]]}"#, #"{"cat":["a",true]}"#, #"{"cat":5}"#, #"{"substr":["abc"]}"#,
    #"{"substr":["abc",2,-2]}"#,
    #"{"in":[1,"123"]}"#, #"{"in":[[1],[[1]]]}"#, #"{"in":[]}"#, #"{"var":true}"#, #"{"var":[1]}"#,
    #"{"var":"list.-1"}"#, #"{"missing":5}"#,
    #"{"map":5}"#, #"{"map":[{"var":"a"},1]}"#, #"{"reduce":[{"var":"list"},1,null]}"#, #"{"merge":null}"#,
    #"{"==":5}"#,
    #"{"var":["a",{"nope":1}]}"#,
  ])
  func `what has no result is an error of the whole rule`(_ rule: String) throws {
    #expect(try value(rule) == nil)
  }

  @Test func `fractional takes what it can, and decides nothing otherwise`() throws {
    let decisions: [(String, String?)] = [
      (#"{"fractional":[["a",1]]}"#, "a"), (#"{"fractional":["seed",["a",1],["b",0]]}"#, "a"),
      (#"{"fractional":[["a"],["b",0]]}"#, "a"),
      (#"{"fractional":[null,["a",1]]}"#, "a"), (#"{"fractional":[["a",-5],["b",1]]}"#, "b"),
      (#"{"fractional":[["a",{"-":[5,4]}]]}"#, "a"),
      (#"{"fractional":[["a",50.0]]}"#, "a"), (#"{"fractional":[["a",1,"more"]]}"#, "a"),
      (#"{"fractional":[["a",2147483647]]}"#, "a"),
      (#"{"fractional":[["a",1.5]]}"#, nil), (#"{"fractional":[["a","1"]]}"#, nil), (#"{"fractional":[["a",0]]}"#, nil),
      (#"{"fractional":[]}"#, nil),
      (#"{"fractional":[["a",2147483647],["b",1]]}"#, nil), (#"{"fractional":[["a",1],"b"]}"#, nil),
      (#"{"fractional":[[["a"],1]]}"#, nil),
      (#"{"fractional":[7,["a",1]]}"#, nil), (#"{"fractional":"a"}"#, nil), (#"{"fractional":[[]]}"#, nil),
    ]
    for (rule, expected) in decisions {
      var evaluator = RuleEvaluator(context: EvaluationContext(targetingKey: "k"), flagKey: "f")
      let value = try evaluator.evaluate(try Rule(compiling: try JSONValue(parsing: rule)))
      #expect(value == (expected.map(JSONValue.string) ?? .null), "\(rule)")
    }
  }

  @Test func `an explanation follows the way through the rule`() throws {
    let text = #"""
      {"flags":{"f":{"state":"ENABLED","variants":{"a":1,"b":2},"defaultVariant":"b","targeting":
      {"if":[{"==":[{"var":"x"},"1"]},"a",{"if":[{"var":"y"},"a",{"fractional":[["a",1],["b",1]]}]}]}}},"metadata":{"fractional":"v2"}}
      """#
    let set = try FlagSet(parsing: [UInt8](text.utf8))
    let flag = try #require(set["f"])
    let steps = Explanation(flag, EvaluationContext(), set.generation).steps
    let pointers = steps.map(\.pointer.description)
    #expect(
      pointers == [
        "/flags/f/targeting/if/0", "/flags/f/targeting/if/2/if/0", "/flags/f/targeting/if/2/if/2/fractional",
        "/flags/f/defaultVariant",
      ])
    #expect(steps[2].text.contains("no targeting key"))
    let keyed = Explanation(flag, EvaluationContext(targetingKey: "k"), set.generation).steps
    #expect(keyed.count == 4 && keyed[2].text.contains("of 2, at "))
  }
}
