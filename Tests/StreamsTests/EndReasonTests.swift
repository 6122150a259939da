import Streams
import Testing
import Time

@Suite struct EndReasonTests {
  static let all: [EndReason] = [
    .backendEnded, .backendEndedWithoutTerminal, .backendToldError(name: ""),
    .backendToldError(name: "overloaded"), .backendCut(.closedEarly), .backendCut(.reset),
    .backendCut(.badFraming), .backendCut(.timedOut), .backendAnswered(status: 500), .backendAnswered(status: 503),
    .firstTokenTimeout, .idleTimeout, .totalTimeout, .eventTooLarge, .noRoomForBody, .noAttempt, .clientClosed,
    .clientStalled, .clientTooSlow, .clientCameAnew, .slowAndMemoryIsShort, .requestCutShort, .lastReaderLeft,
    .workerFirstTokenTimeout, .workerIdleTimeout, .workerSilentAfterTerminal, .shuttingDown, .stopped, .clientAsked,
    .readersSideStopped, .otherGatewayEnded, .eventsAreGone, .storeUnreachable,
  ]

  @Test func `each reason has a sentence of its own`() {
    #expect(Set(Self.all.map(\.text)).count == Self.all.count)
    #expect(Self.all.allSatisfy { !$0.text.isEmpty && !$0.text.hasSuffix(".") })
  }

  @Test(arguments: [
    (EndReason.firstTokenTimeout, TimeLimit.streamFirstToken), (.idleTimeout, .idle), (.totalTimeout, .total),
    (.clientStalled, .clientStall), (.workerFirstTokenTimeout, .streamFirstToken), (.workerIdleTimeout, .idle),
  ])
  func `a time limit that ended a stream is named`(reason: EndReason, limit: TimeLimit) {
    #expect(reason.text.hasSuffix(" (\(limit.rawValue))"))
  }

  @Test func `what a backend answered and how it was cut are part of the sentence`() {
    #expect(EndReason.backendAnswered(status: 529).text == "the backend answered 529")
    #expect(EndReason.backendToldError(name: "").text == "the backend told of an error in its stream")
    #expect(
      EndReason.backendToldError(name: "overloaded").text == "the backend told of an error in its stream: overloaded")
    #expect(EndReason.backendCut(.reset).text == UpstreamFault.reset.rawValue)
  }
}
