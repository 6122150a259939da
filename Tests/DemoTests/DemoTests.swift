import Testing

@Suite struct DemoTests {
  @Test(arguments: [["demo"], ["demo", "--https"]])
  func `the demo shows what is promised and ends by itself`(words: [String]) throws {
    let answer = try Program.run(words)
    #expect(answer.text.contains("gateway   \(words.count == 1 ? "http" : "https")://127.0.0.1:"))
    #expect(answer.exit == 0, "\(answer.text)")
    #expect(answer.lines.count { $0.hasPrefix("  ok  ") } == 8)
    #expect(answer.lines.contains { $0.hasPrefix("got ") && $0.contains("4 of 7") && $0.contains("7 of 7") })
    #expect(!answer.text.contains("\u{1B}"), "colours are for terminals")
  }

  @Test func `a demo that is asked for what it can't do says so`() throws {
    #expect(try Program.run("demo", "--fast").exit == 2)
    #expect(try Program.run("demo", "--help").exit == 0)
  }
}
