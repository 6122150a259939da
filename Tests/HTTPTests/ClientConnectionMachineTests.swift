import HTTP
import Testing

@Suite struct ClientConnectionMachineTests {
  enum Step: Sendable {
    case request(hasBody: Bool = false, mayContinue: Bool = true)
    case bodyEnds
    case head(endsBody: Bool = false)
    case refusal
    case end(isCut: Bool = false, endsBody: Bool = false)
    case taken(hasNext: Bool = false, isDraining: Bool = false)
    case finish, finishIsSeen, failure, close
  }

  struct Story: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let steps: [Step]
    /// What the last step's answer is.
    let result: String
    /// Where the connection is then, and what its input belongs to.
    let phase: ClientConnectionMachine.Phase
    let input: ClientConnectionMachine.InputUse

    init(
      _ name: String, _ steps: [Step], _ result: String, _ phase: ClientConnectionMachine.Phase,
      _ input: ClientConnectionMachine.InputUse
    ) {
      (testDescription, self.steps, self.result, self.phase, self.input) = (name, steps, result, phase, input)
    }
  }

  static let stories = [
    Story("an answer is followed by the next request", [.request(), .head(), .end()], "keep", .answered, .nextRequest),
    Story(
      "the next head is waited for", [.request(), .head(), .end(), .taken()], "awaitRequest", .awaitingHead, .head),
    Story(
      "a request that has come is read", [.request(), .end(), .taken(hasNext: true)], "readNextRequest", .awaitingHead,
      .head),
    Story(
      "a client that asks for the close gets it", [.request(mayContinue: false), .end()], "linger", .answered,
      .nextRequest),
    Story(
      "and then the connection ends", [.request(mayContinue: false), .end(), .taken(hasNext: true)],
      "linger(resets: false)", .over, .nothing),
    Story(
      "the third request is the last",
      [.request(), .end(), .taken(), .request(), .end(), .taken(), .request(), .end()], "linger", .answered,
      .nextRequest),
    Story("a body is read", [.request(hasBody: true)], "", .exchanging, .body),
    Story("what follows the body waits", [.request(hasBody: true), .bodyEnds], "", .exchanging, .nextRequest),
    Story(
      "an answer before the body's end is the last", [.request(hasBody: true), .end()], "linger", .answered, .body),
    Story(
      "also when the body ends after the answer's head", [.request(hasBody: true), .head(), .bodyEnds, .end()],
      "linger",
      .answered, .nextRequest),
    Story(
      "not when it ends before", [.request(hasBody: true), .bodyEnds, .head(), .end()], "keep", .answered, .nextRequest),
    Story(
      "a body that lasts until the close", [.request(), .head(endsBody: true), .end(endsBody: true)], "linger",
      .answered, .nextRequest),
    Story(
      "a cut that the framing shows", [.request(), .head(), .end(isCut: true)], "abort(resets: false)", .answered,
      .nextRequest),
    Story(
      "a cut that only a reset shows", [.request(), .head(endsBody: true), .end(isCut: true, endsBody: true)],
      "abort(resets: true)", .answered, .nextRequest),
    Story(
      "which is sent with the close",
      [.request(), .head(endsBody: true), .end(isCut: true, endsBody: true), .taken()], "linger(resets: true)", .over,
      .nothing),
    Story("a refused head", [.refusal], "true", .exchanging, .nextRequest),
    Story("ends the connection", [.refusal, .end()], "linger", .answered, .nextRequest),
    Story("a refused request does too", [.request(), .refusal], "false", .exchanging, .nextRequest),
    Story("with its answer", [.request(), .refusal, .end()], "linger", .answered, .nextRequest),
    Story(
      "draining ends what is idle", [.request(), .end(), .taken(isDraining: true)], "linger(resets: false)", .over,
      .nothing),
    Story(
      "but not before what has come", [.request(), .end(), .taken(hasNext: true, isDraining: true)], "readNextRequest",
      .awaitingHead, .head),
    Story("a client that leaves between requests", [.finish], "close", .over, .nothing),
    Story("a client that leaves inside its body", [.request(hasBody: true), .finish], "abandon", .over, .nothing),
    Story("a client that ends its side may listen", [.request(), .finish], "halfClosed", .exchanging, .nextRequest),
    Story("and gets its answer, the last", [.request(), .finish, .end()], "linger", .answered, .nextRequest),
    Story(
      "one that does so after its answer is written", [.request(), .end(), .finish], "nothing", .answered, .nextRequest),
    Story("has it, and the end", [.request(), .end(), .finish, .taken()], "linger(resets: false)", .over, .nothing),
    Story(
      "and what it had asked for before", [.request(), .end(), .finish, .taken(hasNext: true)], "readNextRequest",
      .awaitingHead, .head),
    Story(
      "an end behind unread input is reported", [.request(), .finishIsSeen], "halfClosed", .exchanging, .nextRequest),
    Story("once", [.request(), .finishIsSeen, .finishIsSeen], "nothing", .exchanging, .nextRequest),
    Story(
      "for each request", [.request(), .finishIsSeen, .end(), .taken(hasNext: true), .request(), .finishIsSeen],
      "halfClosed", .exchanging, .nextRequest),
    Story("a failure between requests", [.failure], "close", .over, .nothing),
    Story("a failure during an exchange", [.request(), .failure], "abandon", .over, .nothing),
    Story("a failure while the answer is on its way", [.request(), .end(), .failure], "close", .over, .nothing),
    Story("nothing follows a close", [.close, .failure], "nothing", .over, .nothing),
    Story("not even another", [.close, .close], "false", .over, .nothing),
    Story("a close during an exchange", [.request(), .close], "true", .over, .nothing),
    Story("no answer ends after it", [.request(), .close, .end()], "nil", .over, .nothing),
    Story("no answer ends twice", [.request(), .end(), .end()], "nil", .answered, .nextRequest),
  ]

  @Test(arguments: stories) func `a connection goes on, or ends, as its story says`(_ story: Story) {
    var machine = ClientConnectionMachine()
    var result = ""
    for step in story.steps { result = Self.take(step, &machine) }
    let (phase, input) = (machine.phase, machine.inputUse)
    #expect(result == story.result)
    #expect(phase == story.phase)
    #expect(input == story.input)
  }

  private static func take(_ step: Step, _ machine: inout ClientConnectionMachine) -> String {
    switch step {
    case .request(let hasBody, let mayContinue):
      machine.requestCame(hasBody: hasBody, limit: 3, mayContinue: mayContinue)
    case .bodyEnds: machine.bodyEnded()
    case .head(let endsBody): machine.headWasSent(endsBody: endsBody)
    case .refusal: return "\(machine.refused())"
    case .end(let isCut, let endsBody):
      return machine.answerEnded(isCut: isCut, endsBody: endsBody).map { "\($0)" } ?? "nil"
    case .taken(let hasNext, let isDraining):
      return "\(machine.answerWasTaken(hasNext: hasNext, isDraining: isDraining))"
    case .finish: return "\(machine.peerFinished())"
    case .finishIsSeen: return "\(machine.peerEndWasSeen())"
    case .failure: return "\(machine.peerFailed())"
    case .close: return "\(machine.closes())"
    }
    return ""
  }

  @Test func `a client is served when an answer came before the request that it waits for`() {
    var machine = ClientConnectionMachine()
    var wasServed = [machine.wasServed]
    machine.requestCame(hasBody: false, limit: 9, mayContinue: true)
    wasServed.append(machine.wasServed)
    _ = machine.answerEnded(isCut: false, endsBody: false)
    wasServed.append(machine.wasServed)
    _ = machine.answerWasTaken(hasNext: true, isDraining: false)
    machine.requestCame(hasBody: false, limit: 9, mayContinue: true)
    wasServed.append(machine.wasServed)
    let requests = machine.requests
    #expect(wasServed == [false, false, true, true])
    #expect(requests == 2)
  }

  @Test(arguments: [false, true], [false, true])
  func `a head says whether the connection ends`(hasBody: Bool, endsBody: Bool) {
    var machine = ClientConnectionMachine()
    machine.requestCame(hasBody: hasBody, limit: 9, mayContinue: true)
    var willClose = [machine.willClose(endsBody: endsBody)]
    if hasBody { machine.bodyEnded() }
    willClose.append(machine.willClose(endsBody: endsBody))
    machine.headWasSent(endsBody: endsBody)
    willClose.append(machine.willClose(endsBody: false))
    #expect(willClose == [hasBody || endsBody, endsBody, endsBody])
  }

  @Test func `a gateway that leaves says so with the answer that comes next`() {
    var machine = ClientConnectionMachine()
    machine.requestCame(hasBody: false, limit: 9, mayContinue: true)
    let willClose = machine.willClose(endsBody: false, mayContinue: false)
    #expect(willClose)
    machine.headWasSent(endsBody: false, mayContinue: false)
    let next = machine.answerEnded(isCut: false, endsBody: false)
    #expect(next == .linger)
  }
}
