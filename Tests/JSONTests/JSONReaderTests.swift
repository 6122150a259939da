import JSON
import Testing
import Time

@Suite struct `Strict reading` {
  private enum Colour: String, CaseIterable { case red, green }

  private func faults(of text: String, _ body: (JSONReader) -> Void) throws -> [String] {
    let value = try JSONValue(parsing: text, dialect: .json5)
    do {
      try JSONReader.decode(value, body)
      return []
    } catch {
      return error.faults.map(\.description)
    }
  }

  @Test func `every mistake is told at once, each with its path`() throws {
    let text = """
      { listen: 5, routes: [ { name: "a", timeuot: "3s", upstreams: [ { url: "x" }, { url: 7, weight: 0 } ] } ],
        colour: "blue", limits: { body: "1 fortnight" } }
      """
    let found = try faults(of: text) { reader in
      _ = reader.string("listen")
      for route in reader.nestedArray("routes") {
        _ = route.string("name")
        _ = route.duration("timeout")
        for upstream in route.nestedArray("upstreams") {
          _ = upstream.string("url")
          _ = upstream.int("weight", in: 1...100)
        }
      }
      _ = reader.choice("colour", Colour.self)
      _ = reader.nested("limits")?.byteSize("body")
      reader.require("admin")
    }
    #expect(
      found == [
        "listen: expected a string, found 5",
        "routes[0].upstreams[1].url: expected a string, found 7",
        "routes[0].upstreams[1].weight: out of range; allowed is 1 to 100",
        "colour: expected one of \"red\", \"green\", found \"blue\"",
        "limits.body: expected a size such as \"64KiB\", \"1MiB\" or a number of bytes, found \"1 fortnight\"",
        "admin: is missing",
        "routes[0].timeuot: unknown name; did you mean \"timeout\"?",
      ])
  }

  @Test func `right values come through`() throws {
    let value = try JSONValue(
      parsing: #"{"a":"250ms","b":35,"c":"1MiB","d":"red","e":["x","y"],"f":null,"g":{"k.1":{"v":1}},"h":"1.5h"}"#)
    try JSONReader.decode(value) { reader in
      #expect(reader.duration("a") == .milliseconds(250))
      #expect(reader.duration("b") == .seconds(35))
      #expect(reader.byteSize("c") == 1 << 20)
      #expect(reader.choice("d", Colour.self) == .red)
      #expect(reader.strings("e") == ["x", "y"])
      #expect(reader.int("f", default: 7) == 7)
      #expect(reader.duration("h") == .seconds(5400))
      for (name, member) in reader.nestedMembers("g") {
        #expect(name == "k.1" && member.int("v") == 1)
        #expect(member.path == "g[\"k.1\"]")
      }
    }
  }

  @Test(arguments: ["-1s", "s", "1x", "1s2", "", "1e9s", "99999999999d", "nan", "infs"])
  func `a duration that is none is refused`(_ text: String) {
    #expect(Nanoseconds(parsing: text) == nil)
  }

  @Test func `a document that is no object is refused`() throws {
    #expect(try faults(of: "[]") { _ in } == ["expected an object, found an array"])
  }
}
