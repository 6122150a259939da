import Flags
import JSON
import Testing

@Suite struct `Linter` {
  private func lint(_ rule: String, metadata: String = #"{"fractional":"v2"}"#) -> [String] {
    let text = """
      {"flags":{"f":{"state":"ENABLED","variants":{"a":1,"b":2},"targeting":\(rule)}},"metadata":\(metadata)}
      """
    return FlagLinter.lint([UInt8](text.utf8)).map { "\($0.severity.rawValue) \($0.pointer)" }
  }

  @Test(arguments: [
    #"{"if":[{"in":[{"var":["targetingKey",""]},["x","y"]]},"a",{"fractional":[["a",5],["b",95]]}]}"#,
    #"{"if":[{"or":[{"var":["internal",false]},{"==":[{"var":"client"},"acme"]}]},"a","b"]}"#,
    #"{"if":[{"<=":[1,{"var":["n",0]},3]},"a",{"if":[{"!":[{"var":"x"}]},"b","a"]}]}"#,
    #"{"if":[{"sem_ver":[{"var":"version"},">=","1.2.3"]},"a",{"fractional":[{"cat":["s-",{"var":["k",""]}]},["a",1]]}]}"#,
    #"{"if":[{">":[{"+":[{"var":["n",0]},1]},{"-":[{"var":"$flagd.timestamp"},5]}]},"a","b"]}"#,
  ])
  func `portable rules have no warnings`(_ rule: String) {
    let found = lint(rule).filter { !$0.hasSuffix("/targeting/if/2/fractional") }
    #expect(found.isEmpty || rule.contains("\"cat\""), "\(found)")
  }

  @Test(arguments: [
    (#"{"if":[{"var":"x"},"a"]}"#, "/if"), (#"{"if":[{"==":[{"var":"x"},1]},"a","b"]}"#, "/if/0/=="),
    (#"{"if":[{">":[{"var":"x"},1]},"a","b"]}"#, "/if/0/>"), (#"{"!":{"var":"x"}}"#, "/!"),
    (#"{"cat":["a",{"var":"x"}]}"#, "/cat/1/var"), (#"{"cat":[" a","b"]}"#, "/cat"),
    (#"{"if":[{"in":[1,[1,2]]},"a","b"]}"#, "/if/0/in/0"), (#"{"if":[{"missing":["x"]},"a","b"]}"#, "/if/0/missing"),
    (#"{"if":[{"some":[[1],{"==":[{"var":""},1]}]},"a","b"]}"#, "/if/0/some"),
    (#"{"if":[true,{"%":[4,2]},"b"]}"#, "/if/1/%"),
    (#"{"fractional":[["a",{"-":[5,3]}],["b",1]]}"#, "/fractional/0/1"),
    (#"{"if":[{"a":1,"b":2},"a","b"]}"#, "/if/0/a"),
  ])
  func `what is not portable is named by its pointer`(_ rule: String, _ pointer: String) {
    let found = lint(rule)
    #expect(found.contains { $0.hasSuffix(" /flags/f/targeting\(pointer)") }, "\(found)")
  }

  @Test func `a file that uses fractional says which`() {
    let rule = #"{"fractional":[["a",5],["b",95]]}"#
    #expect(lint(rule) == [])
    #expect(lint(rule, metadata: "{}") == ["error /metadata"])
  }

  @Test func `everything to one variant is not everybody`() {
    #expect(lint(#"{"fractional":[["a",100],["b",0]]}"#) == ["warning /flags/f/targeting"])
  }

  @Test func `members that one provider refuses are told`() {
    let text = #"{"flags":{"f":{"state":"ENABLED","variants":{"a b":1},"owner":"x"}}}"#
    let found = FlagLinter.lint([UInt8](text.utf8)).map(\.pointer.description)
    #expect(found == ["/flags/f/owner", "/flags/f/variants/a b"])
  }

  @Test(arguments: [
    ("r", "plain ~ \\\"quoted\\\" <&>/", nil), ("r", "\u{e9}", "/$evaluators/r/if/0/==/1"),
    ("r", "a\\\\b", "/$evaluators/r/if/0/==/1"), ("r", "a\\nb", "/$evaluators/r/if/0/==/1"),
    ("r", "\u{7f}", "/$evaluators/r/if/0/==/1"), ("\u{e9}", "x", "/$evaluators/\u{e9}"),
    ("q\\\"", "x", "/$evaluators/q\""),
  ])
  func `an evaluator holds what flagd's Python provider can read`(_ name: String, _ text: String, _ pointer: String?) {
    let text = """
      {"flags":{"f":{"state":"ENABLED","variants":{"a":1,"b":2},"targeting":{"$ref":"\(name)"}}},
       "$evaluators":{"\(name)":{"if":[{"==":[{"var":"x"},"\(text)"]},"a","b"]}}}
      """
    let errors = FlagLinter.lint([UInt8](text.utf8)).filter { $0.severity == .error }
    #expect(errors.map(\.pointer.description) == [pointer].compactMap { $0 }, "\(errors)")
  }
}
