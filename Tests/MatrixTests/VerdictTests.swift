import Harness
import Matrix
import Streams
import Testing

/// What three witnesses of a cell come to.
@Suite struct VerdictTests {
  /// Those of which a client gets everything.
  static let streams = Behaviour.all.filter { behaviour in
    behaviour.outcome != nil && behaviour.outcome != .clientStalled && behaviour.action == .none
  }.map(\.id)

  @Test(arguments: streams) func `a client that saw stream_end and every event is ok`(behaviour: String) throws {
    #expect(try PlayedCell(behaviour).finding == Finding(.ok))
  }

  @Test(arguments: streams, Mode.allCases)
  func `a client that drops the last event is found`(behaviour: String, mode: Mode) throws {
    var cell = try PlayedCell(behaviour, mode)
    guard let last = cell.client.events.lastIndex(where: { $0.type != "stream_end" }) else { return }
    cell.client.events.remove(at: last)
    #expect(cell.finding.verdict == .failed && cell.finding.fault == .lost, "\(cell.finding)")
  }

  @Test(arguments: streams, Mode.allCases)
  func `a client that gets an event twice is found`(behaviour: String, mode: Mode) throws {
    var cell = try PlayedCell(behaviour, mode)
    guard let first = cell.judge.truth.first else { return }
    cell.client.events.insert(first, at: 0)
    #expect(cell.finding.verdict == .failed && cell.finding.fault == .misread, "\(cell.finding)")
  }

  @Test(arguments: ["B02", "B03", "B04", "B08", "B10"], [Mode.legacy, .shield])
  func `a client that takes an answer that is not whole for whole is found`(behaviour: String, mode: Mode) throws {
    let finding = try PlayedCell(behaviour, mode).finding
    #expect(finding.verdict == .failed && finding.fault == .unseen, "\(finding)")
  }

  @Test func `a client that calls a cut complete is found, although stream_end told it`() throws {
    var cell = try PlayedCell("B02")
    cell.client.events.removeLast()
    cell.client.sawOutcome = "completed"
    #expect(cell.finding.fault == .unseen)
  }

  @Test(arguments: ["B02", "B03", "B08", "B10"], Mode.allCases)
  func `an exception tells a cut as the client can`(behaviour: String, mode: Mode) throws {
    var cell = try PlayedCell(behaviour, mode)
    cell.client.events.removeAll { $0.type == "stream_end" }
    (cell.client.end, cell.client.error) = (.error, "broken")
    #expect(cell.finding == Finding(.own, "broken"))
  }

  @Test(arguments: Mode.allCases) func `an error where all was well is found, and so is a client that hangs`(mode: Mode)
    throws
  {
    var cell = try PlayedCell("B01", mode)
    (cell.client.end, cell.client.error) = (.error, "broken")
    #expect(cell.finding.fault == .alarmed)
    cell.client.end = .timeout
    #expect(cell.finding.fault == .alarmed)
  }

  @Test func `shield's truth has the terminal last`() throws {
    let cell = try PlayedCell("B01", .shield)
    #expect(cell.judge.truth.map(\.type) == ["token", "token", "usage", "usage", "complete"])
    var other = cell
    other.client.events = try PlayedCell("B01", .legacy).client.events
    #expect(other.finding.fault == .misread)
  }

  @Test func `the other witnesses have to agree`() throws {
    var cell = try PlayedCell("B01")
    cell.backend.requests = 2
    #expect(cell.finding.fault == .witness)
    cell = try PlayedCell("B01")
    cell.gateway.streams[0].outcome = "incomplete"
    #expect(cell.finding.fault == .witness)
    cell = try PlayedCell("B01")
    cell.gateway.streams[0].mode = "legacy"
    #expect(cell.finding.fault == .witness)
    cell = try PlayedCell("B01")
    cell.gateway.streams = []
    #expect(cell.finding.fault == .witness)
    cell = try PlayedCell("B01")
    cell.gateway.streams[0].events = 99
    #expect(cell.finding.fault == .witness)
  }

  @Test(arguments: MatrixTransport.all.filter { !$0.isBare })
  func `a client that speaks something else than its transport is found`(transport: MatrixTransport) throws {
    var cell = try PlayedCell("B01", over: transport)
    #expect(cell.finding == Finding(.ok))
    for wire in [MatrixTransport.Wire.plain, .secure, .http2] where wire != transport.wire {
      cell.gateway.streams[0].wire = wire
      #expect(cell.finding.verdict == .failed && cell.finding.fault == .witness, "\(cell.finding)")
    }
  }

  @Test func `the gateway's log says what was spoken`() {
    #expect(MatrixTransport.Wire(version: nil, applicationProtocol: nil) == .plain)
    #expect(MatrixTransport.Wire(version: "TLSv1.3", applicationProtocol: "http/1.1") == .secure)
    #expect(MatrixTransport.Wire(version: "TLSv1.2", applicationProtocol: nil) == .secure)
    #expect(MatrixTransport.Wire(version: "TLSv1.3", applicationProtocol: "h2") == .http2)
  }

  @Test(arguments: Mode.allCases) func `a reader that stopped may lack the end, and has to see that it does`(mode: Mode)
    throws
  {
    var cell = try PlayedCell("B26", mode)
    cell.client.events = Array(cell.judge.truth.prefix(3))
    (cell.client.end, cell.client.error) = (.error, "reset")
    #expect(cell.finding == Finding(.own, "reset"))
    var whole = cell
    (whole.client.end, whole.client.error) = (.closed, nil)
    #expect(whole.finding.fault == .unseen)
    var other = cell
    other.client.events.remove(at: 1)
    #expect(other.finding.fault == .misread)
    cell.gateway.streams[0].outcome = "client_gone"
    #expect(cell.finding.fault == .witness)
  }

  @Test func `an id that is not the event's number is found`() throws {
    var cell = try PlayedCell("B01")
    cell.client.events[1].id = "S.7"
    #expect(cell.finding.fault == .misread)
  }

  @Test(arguments: [MatrixDialect.openai, .anthropic])
  func `an SDK that hands over texts is judged by them`(dialect: MatrixDialect) throws {
    let client = try #require(
      MatrixClient.all(
        parsing: "[{ id: \"sdk\", name: \"SDK\", command: [\"x\"], dialect: \"\(dialect.rawValue)\", view: \"texts\" }]"
      ).first)
    var cell = try PlayedCell("B09", .legacy, client: client)
    cell.client.events = ["word1 ", "word2 "].map { ReceivedEvent(data: $0) }
    #expect(cell.finding == Finding(.ok))
    cell.client.events.removeLast()
    #expect(cell.finding.fault == .lost)
  }

  @Test(arguments: Mode.allCases)
  func `where the gateway can't know the terminal, it does not say that the answer is whole`(mode: Mode) throws {
    let client = try #require(
      MatrixClient.all(
        parsing: "[{ id: \"m\", name: \"M\", command: [\"x\"], dialect: \"mcp\", view: \"texts\", optIn: \"never\" }]"
      ).first)
    var cell = try PlayedCell("B09", mode, client: client)
    #expect(cell.judge.mode == (mode == .graceful ? .legacy : mode))
    cell.client.events = ["word1 ", "word2 "].map { ReceivedEvent(data: $0) }
    #expect(cell.finding.fault == .witness)
    for outcome in ["incomplete", "client_gone"] {
      cell.gateway.streams[0].outcome = outcome
      #expect(cell.finding == Finding(.ok))
    }
    // Nothing is held back, so that what comes behind the response stays there.
    let late = try PlayedCell("B01", mode, client: client).judge.truth
    #expect(late.count == 5 && late[2].data.contains("result"))
  }

  @Test func `the status is the truth where there is no stream`() throws {
    var cell = try PlayedCell("B12")
    cell.client.events = []
    #expect(cell.finding.verdict == .own)
    cell.client.status = 204
    #expect(cell.finding == Finding(.ok))
    cell.client.status = 200
    #expect(cell.finding.fault == .misread)
  }
}
