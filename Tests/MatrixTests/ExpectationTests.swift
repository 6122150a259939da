import JSON
import Matrix
import Streams
import Testing

@Suite struct ExpectationTests {
  private static let cell = CellID(client: "a", mode: .legacy, transport: "h1", behaviour: "B04")
  private static let cells: Set = [cell, CellID(client: "a", mode: .graceful, transport: "h1", behaviour: "B04")]

  private static func rules(_ members: String) throws(MatrixFileError) -> Expectations {
    try Expectations(
      parsing: "[{ clients: [\"a\"], transports: [\"h1\"], behaviours: [\"B04\"], reason: \"so\", \(members) }]",
      cells: cells)
  }

  private static let blind = "modes: [\"legacy\"], verdict: \"blind\", fault: \"unseen\""

  @Test func `what a client is known to be blind to is no failure, anything else is one`() throws {
    let rules = try Self.rules(Self.blind)
    let unseen = Finding(.failed, fault: .unseen)
    #expect(rules.apply(to: unseen, of: Self.cell).verdict == .blind)
    #expect(rules.apply(to: Finding(.failed, fault: .lost), of: Self.cell).verdict == .failed)
    let other = CellID(client: "a", mode: .graceful, transport: "h1", behaviour: "B04")
    #expect(rules.apply(to: unseen, of: other).verdict == .failed && rules.verdict(of: other) == .ok)
  }

  @Test func `better than expected is not as expected either`() throws {
    let rules = try Self.rules(Self.blind)
    let better = CellResult(Self.cell, Finding(.ok), expectations: rules)
    #expect(!better.isAsExpected && better.complaint?.contains("a/legacy/h1/B04: ok instead of blind") == true)
    let blind = rules.apply(to: Finding(.failed, fault: .unseen), of: Self.cell)
    #expect(CellResult(Self.cell, blind, expectations: rules).complaint == nil)
  }

  @Test func `a cell that does not show the same every time fails`() throws {
    let result = CellResult(Self.cell, Finding(.ok), isFlaky: true, expectations: Expectations())
    #expect(result.verdict == .failed && result.complaint?.contains("not every time") == true)
  }

  @Test func `what is not installed is never ok, and no complaint unless it is strict`() {
    let result = CellResult(Self.cell, Finding(.missing, "gone"), expectations: Expectations())
    let report = MatrixReport(
      build: [:], host: "", startedAt: "", seconds: 0, rows: [], modes: [], transports: [], behaviours: [],
      results: [result])
    #expect(report.count(of: .ok) == 0 && report.complaints(isStrict: false).isEmpty)
    #expect(report.complaints(isStrict: true) == ["a/legacy/h1/B04: missing: gone"])
  }

  @Test(arguments: [
    ("modes: [\"shield\"], verdict: \"ok*\"", "stale, there is no cell a/shield/h1/B04"),
    (
      "verdict: \"ok*\"  }, { clients: [\"a\"], transports: [\"h1\"], behaviours: [\"B04\"], reason: \"so\", modes: [\"legacy\"], verdict: \"n/a\"",
      "stale"
    ),
    ("modes: [\"legacy\"], verdict: \"blind\"", "fault"), ("modes: [\"legacy\"], verdict: \"ok\"", "verdict"),
    ("modes: [\"legacy\"], verdict: \"ok*\", fault: \"lost\"", "fault"),
    ("modes: [\"legacy\"], verdict: \"ok*\", resaon: \"x\"", "resaon: unknown name"),
    ("modes: [\"legacy\"], verdict: \"FAIL\"", "verdict"),
    (
      "modes: [\"legacy\"], verdict: \"ok*\" }, { clients: [\"a\"], transports: [\"h1\"], behaviours: [\"B04\"], "
        + "reason: \"so\", modes: [\"legacy\"], verdict: \"n/a\"", "has a rule at [0] already"
    ),
  ])
  func `a rule that is wrong is told with its place`(members: String, mention: String) {
    let error = #expect(throws: MatrixFileError.self) { try Self.rules(members) }
    #expect(
      error?.description.contains(mention) == true && error?.description.hasPrefix("[") == true,
      "\(error.debugDescription)")
  }

  @Test(arguments: [
    ("[{ id: \"a\", name: \"A\", command: [] }]", "[0].command"),
    ("[{ id: \"a/b\", name: \"A\", command: [\"x\"] }]", "[0].id"),
    ("[{ id: \"a\", name: \"A\", command: [\"x\"], optin: \"query\" }]", "optin: unknown name"),
    ("[{ id: \"a\", name: \"A\", command: [\"x\"], abilities: [\"fly\"] }]", "fly"),
    ("[{ id: \"a\", name: \"A\", command: [\"x\"] }, { id: \"a\", name: \"A\", command: [\"x\"] }]", "a second time"),
    ("{}", "array"),
  ])
  func `a row of clients that is wrong is told with its place`(text: String, mention: String) {
    let error = #expect(throws: MatrixFileError.self) { try MatrixClient.all(parsing: text) }
    #expect(error?.description.contains(mention) == true, "\(error.debugDescription)")
  }

  @Test func `a cell's name is read as it is written`() {
    #expect(CellID("a/legacy/h1/B04") == Self.cell && CellID("\(Self.cell)") == Self.cell)
    for text in ["a/legacy/h1", "a/LEGACY/h1/B04", "", "a/legacy/h1/B04/x"] { #expect(CellID(text) == nil) }
  }
}
