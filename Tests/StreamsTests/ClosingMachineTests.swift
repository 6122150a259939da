import Streams
import Testing

struct ClosingMachineTests {
  /// Where a machine is, and the way there.
  enum Stage: CaseIterable {
    case opening, streaming, terminalSeen
    case ending, endingAfterTerminal, endingToAbort
    case flushed, flushedAfterTerminal, flushedToAbort, acknowledged
    case over

    var machine: ClosingMachine {
      var machine = ClosingMachine()
      if self == .opening { return machine }
      machine.headWasSent()
      if [.terminalSeen, .endingAfterTerminal, .flushedAfterTerminal].contains(self) { machine.terminalWasSent() }
      if self == .streaming || self == .terminalSeen { return machine }
      machine.endWasQueued(then: self == .endingToAbort || self == .flushedToAbort ? .abort : .linger)
      if [.ending, .endingAfterTerminal, .endingToAbort].contains(self) { return machine }
      _ = machine.queueEmptied()
      if self == .acknowledged { machine.lastByteWasAcknowledged() }
      if self == .over { _ = machine.aborted() }
      return machine
    }

    var isEnding: Bool { ![.opening, .streaming, .terminalSeen].contains(self) }
  }

  private typealias Result = ClosingMachine.Result

  private func expect(
    _ name: String, _ event: (inout ClosingMachine) -> Result?, _ expected: [Stage: Result], at stages: [Stage],
    endsAlways: Bool = true
  ) {
    for stage in stages {
      var machine = stage.machine
      let result = event(&machine)
      #expect(result == expected[stage], "\(name) when \(stage)")
      // A result is given once, and then it is over.
      if result != nil || endsAlways { #expect(machine.isOver, "\(name) when \(stage)") }
      #expect(event(&machine) == nil, "\(name) twice when \(stage)")
    }
  }

  @Test func `a peer that is done has confirmed what it was sent the end of`() {
    expect(
      "peerWasDone", { $0.peerWasDone() },
      [
        .terminalSeen: .confirmed, .flushed: .confirmed, .flushedAfterTerminal: .confirmed, .flushedToAbort: .cut,
        .acknowledged: .confirmed,
      ], at: Stage.allCases, endsAlways: false)
    // Half-close is not going away: before the end it says nothing.
    for stage in [Stage.opening, .streaming, .ending, .endingAfterTerminal, .endingToAbort] {
      var machine = stage.machine
      #expect(machine.peerWasDone() == nil)
      #expect(!machine.isOver)
    }
  }

  // Some clients close at the terminal and leave the rest unread.
  @Test func `a reset behind the terminal is a completion, any other before the acknowledgement is not`() {
    expect(
      "peerReset", { $0.peerReset() },
      [
        .opening: .reset, .streaming: .reset, .terminalSeen: .confirmed, .ending: .reset,
        .endingAfterTerminal: .confirmed, .endingToAbort: .cut, .flushed: .reset, .flushedAfterTerminal: .confirmed,
        .flushedToAbort: .cut, .acknowledged: .confirmed,
      ], at: Stage.allCases)
  }

  @Test func `waiting ends as acked only when the last byte was`() {
    var expected = Dictionary(uniqueKeysWithValues: Stage.allCases.map { ($0, Result.lingerTimeout) })
    expected[.acknowledged] = .acked
    expected[.over] = nil
    expect("stoppedWaiting", { $0.stoppedWaiting() }, expected, at: Stage.allCases)
  }

  @Test func `what we break ourselves is a cut`() {
    var expected = Dictionary(uniqueKeysWithValues: Stage.allCases.map { ($0, Result.cut) })
    expected[.over] = nil
    expect("aborted", { $0.aborted() }, expected, at: Stage.allCases)
  }

  @Test func `what to do after the last byte is said once, when the kernel has it`() {
    for stage in Stage.allCases {
      var machine = stage.machine
      let expected: ClosingMachine.AfterFlush? =
        switch stage {
        case .ending, .endingAfterTerminal: .linger
        case .endingToAbort: .abort
        default: nil
        }
      #expect(machine.queueEmptied() == expected, "\(stage)")
      #expect(machine.queueEmptied() == nil)
    }
  }

  @Test func `the end is queued once`() {
    for stage in Stage.allCases {
      var machine = stage.machine
      #expect(machine.isEnding == stage.isEnding)
      machine.endWasQueued(then: .keep)
      #expect(machine.isEnding)
      #expect(machine.queueEmptied() == (stage.isEnding ? stage.machine.queueEmptiedOnce : .keep), "\(stage)")
    }
  }

  @Test func `a terminal counts whenever it is sent, and an acknowledgement only behind the last byte`() {
    for stage in Stage.allCases {
      var machine = stage.machine
      machine.terminalWasSent()
      #expect(machine.hasSentTerminal == (stage != .over), "\(stage)")
      #expect(machine.isEnding == stage.isEnding, "\(stage)")
      machine = stage.machine
      machine.lastByteWasAcknowledged()
      let counts = [.flushed, .flushedAfterTerminal, .flushedToAbort, .acknowledged].contains(stage)
      #expect(machine.stoppedWaiting() == (stage == .over ? nil : counts ? .acked : .lingerTimeout), "\(stage)")
    }
  }

  @Test func `the head is sent once`() {
    for stage in Stage.allCases where stage != .opening {
      var machine = stage.machine
      machine.headWasSent()
      #expect(machine.isEnding == stage.isEnding && machine.hasSentTerminal == stage.machine.hasSentTerminal)
      #expect(machine.isOver == (stage == .over))
    }
  }
}

extension ClosingMachine {
  /// What `queueEmptied` says of a copy.
  fileprivate var queueEmptiedOnce: AfterFlush? {
    var copy = self
    return copy.queueEmptied()
  }
}
