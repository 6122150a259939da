import Streams
import Testing

struct OutcomeTests {
  private func outcome(_ text: String, _ end: UpstreamEnd = .clean, dialect: Dialect = .auto) -> Outcome {
    Play(dialect: dialect)(.legacy, text, end).outcome
  }

  @Test func `a clean end is complete behind a terminal only`() {
    #expect(outcome("data: x\n\n") == .incomplete)
    #expect(outcome("") == .incomplete)
    #expect(outcome(": ping\n\n") == .incomplete)
    #expect(outcome("data: x\n\ndata: [DONE]\n\n") == .completed)
    #expect(outcome("data: [DONE]\n\ndata: x\n\n") == .completed)
    #expect(outcome("data: [DONE]\n\n", dialect: .anthropic) == .incomplete)
    #expect(outcome("event: message_stop\ndata: {}\n\n", dialect: .openai) == .incomplete)
    #expect(outcome("event: complete\ndata: {}\n\n", dialect: .openai) == .completed)
    #expect(outcome("event: response.incomplete\ndata: {}\n\n") == .completed)
  }

  @Test func `a cut is truncated whatever came before`() {
    for fault in [UpstreamFault.closedEarly, .reset, .badFraming, .timedOut] {
      for text in [
        "", "data: x\n\n", "data: [DONE]\n\n", "event: done\ndata: x\n\n", "event: error\ndata: x\n\n", "dat",
      ] {
        #expect(outcome(text, .cut(fault)) == .upstreamTruncated)
      }
    }
  }

  @Test func `an error in-band counts unless the backend got over it`() {
    #expect(outcome("event: error\ndata: x\n\n") == .upstreamError)
    #expect(outcome("event: error\ndata: x\n\ndata: y\n\n") == .upstreamError)
    #expect(outcome("event: error\ndata: x\n\ndata: [DONE]\n\n") == .upstreamError)
    #expect(outcome("event: error\ndata: x\n\nevent: message_stop\ndata: {}\n\n") == .upstreamError)
    #expect(outcome("event: error\ndata: x\n\nevent: done\ndata: {}\n\n") == .completed)
    #expect(outcome("event: done\ndata: {}\n\nevent: error\ndata: x\n\n") == .upstreamError)
    #expect(outcome("event: response.failed\ndata: {}\n\n") == .upstreamError)
    #expect(outcome("data: {\"error\":{\"message\":\"no\"}}\n\n") == .upstreamError)
    #expect(outcome("data: {\"error\":{\"message\":\"no\"}}") == .upstreamError)
    #expect(outcome("data: {\"error\":null}\n\ndata: [DONE]\n\n") == .completed)
  }

  @Test func `what the old closing loses is counted`() {
    func lost(_ text: String) -> UInt64 { Play()(.legacy, text).eventsAfterCompletion }
    #expect(lost("data: x\n\n") == 0)
    #expect(lost("event: done\ndata: x\n\n") == 0)
    #expect(lost("event: done\ndata: x\n\n: c\n\nid: 1\n\n") == 0)
    #expect(lost("event: done\ndata: x\n\ndata: y\n\ndata: [DONE]\n\n") == 2)
    #expect(lost("event: done\ndata: x\n\nevent: done\ndata: y") == 1)
    #expect(lost("data: [DONE]\n\ndata: x\n\n") == 0)
  }

  @Test func `only what the backend ended itself is a clean end`() {
    for outcome in Outcome.allCases {
      #expect(outcome.isCleanEnd == [.completed, .incomplete, .upstreamError].contains(outcome))
      // What is told as an error is worth a warning, and is not the client's or the operator's own wish.
      if outcome.isToldAsError { #expect(outcome.isWorthAWarning && !outcome.isCleanEnd) }
    }
    #expect(Outcome.allCases.filter { !$0.isWorthAWarning }.count == 5)
  }

  @Test func `the mode is the flag's and the client's`() {
    #expect(Mode.decide(understandsStreamEnd: true, variant: .graceful) == .graceful)
    #expect(Mode.decide(understandsStreamEnd: true, variant: .shield) == .graceful)
    #expect(Mode.decide(understandsStreamEnd: true, variant: .legacy) == .legacy)
    #expect(Mode.decide(understandsStreamEnd: false, variant: .graceful) == .legacy)
    #expect(Mode.decide(understandsStreamEnd: false, variant: .shield) == .shield)
    #expect(Mode.decide(understandsStreamEnd: false, variant: .legacy) == .legacy)
  }
}
