import JSON
import Processes
import Testing
import Time

extension `fermata flags` {
  @Suite struct `Looking at flags` {
    private let bench: Workbench

    init() throws { bench = try Workbench() }

    private static let endings: [([String], Int32)] = [
      ([], 2), (["nothing"], 2), (["lint", "--nonsense"], 2), (["show", "other"], 5),
      (["rollout", "advance", "--reason", "x"], 5), (["show", "--file", "/nowhere/x.json"], 7), (["diff", "a"], 2),
      (["set", "--reason", "x"], 2), (["set", "--default", "maybe", "--reason", "x"], 2), (["unkill"], 2),
      (["revert", "9", "--reason", "x"], 5), (["--help"], 0), (["eval", "--help"], 0), (["completions", "tcsh"], 2),
      (["kill", "--reason", "x", "--if-revision", "9"], 4), (["eval", "--is", "graceful"], 10),
      (["eval", "--test"], 10),
      (["eval", "--is", "legacy"], 0), (["watch", "--timeout", "0s"], 8),
      (["watch", "--until", "p1", "--timeout", "1s"], 8),
    ]

    @Test func `the shipped file is good, listed and shown`() throws {
      #expect(try bench.run("lint").exit == 0)
      #expect(try bench.run("list", "--json").data.array?.count == 1)
      let shown = try bench.run("show", "--json")
      #expect(shown.exit == 0 && shown.json["kind"] == "Flag" && shown.json["schemaVersion"] == 1)
      #expect(shown.data["defaultVariant"] == "legacy" && shown.data["revision"] == 1)
      #expect(try bench.run("get", "stream-closing", "--output", "json").data == shown.data)
    }

    @Test(arguments: endings)
    func `every way to end has its status`(_ arguments: [String], _ status: Int32) throws {
      #expect(try bench.run(arguments).exit == status, "\(arguments)")
    }

    @Test func `a broken file is exit 3, with its line and pointer`() throws {
      let file = try bench.write("bad.json", "{\"flags\": {\"f\": {\n\"state\": \"ON\", \"variants\": {\"a\": 1}}}}")
      let lint = try bench.run("lint", file, "--json")
      let fault = lint.data["faults"]?.array?.first
      #expect(lint.exit == 3 && fault?["pointer"] == "/flags/f/state" && fault?["line"] == 2)
      let shown = try bench.run("show", "--file", file, "--json")
      #expect(shown.exit == 3 && shown.json["kind"] == "Error" && shown.json["error"]?["pointer"] == "/flags/f/state")
    }

    @Test func `errors are JSON on standard output when JSON was asked for`() throws {
      let answer = try bench.run("show", "stream-closin", "--json")
      #expect(
        answer.code == "flag_not_found" && answer.json["error"]?["message"]?.string?.contains("did you mean") == true)
      #expect(try bench.run("lint", "--nonsense", "--json").code == "usage")
    }

    @Test func `many contexts are answered line by line`() throws {
      let rule = #"{"if":[{"sem_ver":[{"var":"version"},">=","2.0.0"]},"a","b"]}"#
      let file = try bench.write(
        "f.json", #"{"flags":{"f":{"state":"ENABLED","variants":{"a":1,"b":2},"targeting":\#(rule)}}}"#)
      let contexts = try bench.write("c.jsonl", "{\"version\":\"2.1.0\"}\n{\"version\":\"1.0.0\"}\n\n{}\n")
      let answer = try bench.run("eval", "--file", file, "--contexts", contexts)
      let variants = try answer.lines.map { try JSONValue(parsing: $0)["variant"] }
      #expect(answer.exit == 0 && variants == ["a", "b", "b"])
    }

    @Test func `a recorded request becomes a context, and the way through the rule is told`() throws {
      let rule = #"{"if":[{"and":[{"==":[{"var":"client"},"acme"]},{"var":"n.deep"}]},"a",{"fractional":[["b",1]]}]}"#
      let file = try bench.write(
        "f.json", #"{"flags":{"f":{"state":"ENABLED","variants":{"a":1,"b":2},"targeting":\#(rule)}}}"#)
      let taken = try bench.run(
        "eval", "--file", file, "-H", "User-Agent: acme/2.1 (x)", "-c", "n.deep:=3", "--explain", "--json")
      #expect(taken.data["variant"] == "a" && taken.data["steps"]?.array?.count == 3)
      let other = try bench.run("eval", "--file", file, "--key", "k", "--explain")
      #expect(other.text.contains("bucket 0 of 1") && other.text.hasPrefix("b  TARGETING_MATCH"))
    }

    @Test func `what a variant means for a client is told with its capability`() throws {
      _ = try bench.change("set", "--default", "graceful")
      func closing(_ words: String...) throws -> String {
        try bench.run(["eval", "--explain", "--json"] + words).data["closing"]?.string ?? ""
      }
      #expect(try closing("-H", "Prefer: stream-end") == "its streams are graceful: it understands stream_end")
      #expect(try closing("-c", "capability=none") == "its streams are legacy: it does not understand stream_end")
      let unsaid = try closing("--key", "x")
      #expect(
        unsaid.hasPrefix("its streams are legacy unless") && unsaid.contains("-H \"Prefer: stream-end\""), "\(unsaid)")
      _ = try bench.change("kill")
      #expect(try closing("-H", "Prefer: stream-end").contains("legacy"))
      #expect(try bench.run("eval", "--explain").text.contains("\n  its streams are legacy"))
    }

    @Test func `a difference names who changes`() throws {
      let text =
        #"{"flags":{"f":{"state":"ENABLED","variants":{"a":1,"b":2},"targeting":{"fractional":[["a",5],["b",95]]}}}}"#
      let old = try bench.write("old.json", text)
      let new = try bench.write("new.json", text.replacing("5],[\"b\",95", with: "25],[\"b\",75"))
      let answer = try bench.run("diff", old, new, "--count", "1000", "--members", "--json")
      let flag = answer.data.array?.first
      #expect(flag?["changes"]?.array?.first?["from"] == "b" && flag?["rebucketing"] == [])
      #expect(flag?["members"]?.array?.count == flag?["changed"]?.integer)
      #expect(try bench.run("diff", old, old).text.contains("0 of 10000 change"))
    }

    @Test func `completions are scripts that their shells read`() throws {
      for (shell, check) in [("bash", ["bash", "-n"]), ("zsh", ["bash", "-n"])] {
        let script = try bench.write("complete.\(shell)", try bench.run("completions", shell).text)
        let child = try ChildProcess(check + [script], errorFile: "/dev/null")
        #expect(child.wait(timeout: .seconds(5)) == .code(0), "\(shell)")
      }
      let script = try bench.write("complete.bash", try bench.run("completions", "bash").text)
      let probe =
        "source \(script); COMP_WORDS=(fermata flags rollout adv); COMP_CWORD=3; _fermata; echo ${COMPREPLY[*]}"
      let child = try ChildProcess(["bash", "-c", probe], errorFile: "/dev/null")
      #expect(child.readLine(timeout: .seconds(5)) == "advance")
      #expect(try bench.run("completions", "fish").text.contains("-l if-revision"))
    }

    @Test func `a configuration tells what the rules look at in vain`() throws {
      let configuration = try bench.write(
        "fermata.json5", "{ upstream: \"http://127.0.0.1:9\", identity: { headers: [\"x-region\"] } }")
      let file = try bench.write(
        "rules.json",
        """
        { "flags": { "f": { "state": "ENABLED", "variants": { "a": "a", "b": "b" }, "defaultVariant": "b",
          "targeting": { "if": [ { "in": [ { "var": "headers.x-team" }, ["x"] ] }, "a",
            { "==": [ { "var": "tenant" }, "acme" ] }, "a", { "==": [ { "var": "colour" }, "red" ] }, "b",
            { "==": [ { "var": "headers.x-region" }, "eu" ] }, "b", { "fractional": [["a", 1], ["b", 1]] } ] } } },
          "metadata": { "fractional": "v2" } }
        """)
      for verb in [["lint", file], ["eval", "--file", file], ["simulate", "--file", file]] {
        let answer = try bench.run(verb + ["--config", configuration, "--json"])
        #expect(answer.exit == 0, "\(answer.text)")
        let warnings = (answer.json["warnings"]?.array ?? []).compactMap(\.string)
        func isSaid(_ text: String) -> Bool { warnings.contains { $0.contains(text) } }
        #expect(isSaid("\"headers.x-team\", which is never there: add \"x-team\" to identity.headers"), "\(warnings)")
        #expect(isSaid("\"tenant\"") && isSaid("\"colour\"") && isSaid("identity.header"))
        #expect(!isSaid("x-region"))
      }
      #expect(try bench.run("lint", file, "--config", "/nonexistent.json5").exit == 3)
    }

    @Test func `what a route sets and a certificate's name are nothing to warn of`() throws {
      let configuration = try bench.write(
        "fermata.json5",
        """
        { upstreams: { app: { url: "http://127.0.0.1:9" } }, identity: { certificate: "subject" },
          routes: [ { name: "chat", upstreams: "app", flagAttributes: { product: "chat", tenant: "acme" } } ] }
        """)
      let file = try bench.write(
        "rules.json",
        """
        { "flags": { "f": { "state": "ENABLED", "variants": { "a": "a", "b": "b" }, "defaultVariant": "b",
          "targeting": { "if": [ { "==": [ { "var": "product" }, "chat" ] }, "a",
            { "==": [ { "var": "tenant" }, "acme" ] }, "a", { "==": [ { "var": "colour" }, "red" ] }, "b",
            { "fractional": [["a", 1], ["b", 1]] } ] } } }, "metadata": { "fractional": "v2" } }
        """)
      for verb in [["lint", file], ["eval", "--file", file]] {
        let answer = try bench.run(verb + ["--config", configuration, "--json"])
        let warnings = (answer.json["warnings"]?.array ?? []).compactMap(\.string)
        let surroundings = warnings.filter { $0.contains("looks at") || $0.contains("tell clients apart") }
        #expect(answer.exit == 0 && surroundings.count == 1, "\(answer.text)")
        #expect(surroundings.first?.contains("\"colour\", which no route sets") == true)
      }
    }
  }
}
