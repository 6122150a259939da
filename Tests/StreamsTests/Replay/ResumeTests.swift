import EventSamples
import SSE
import Streams
import Testing
import Time

struct ResumeTests {
  private static let stream = Play.stream

  private func log(events: Int, window: Int = .max, end: EndRecord? = nil, trailing: String? = nil) -> MemoryLog {
    let log = MemoryLog(of: Self.stream, limits: .init(window: window))
    for number in 1...max(1, events) where events > 0 {
      log.append(SeenEntry(event: UInt64(number), "id: own-\(number)\ndata: \(number)\n\n"))
    }
    log.trim(keeping: log.frontier)
    if let trailing { log.append(SeenEntry(EntryMetadata(number: log.last, kind: .other), Array(trailing.utf8))) }
    if let end { log.finish(end) }
    return log
  }

  private func resume(_ id: String?, in log: MemoryLog) -> Resume {
    guard let id else { return Resume.decide(nil, of: Self.stream, in: log) }
    return Resume.decide(Array(id.utf8).span, of: Self.stream, in: log)
  }

  private func next(_ resume: Resume, in log: MemoryLog) -> UInt64? {
    guard case .live(let position) = resume else { return nil }
    return log.entries(from: position, atMost: 1).seen.first?.metadata.number
  }

  @Test func `without an id everything comes, also of a run that has ended`() {
    let running = log(events: 5)
    #expect(next(resume(nil, in: running), in: running) == 1)
    #expect(next(resume("", in: running), in: running) == 1)
    let ended = log(events: 5, end: MemoryLogTests.end)
    #expect(next(resume(nil, in: ended), in: ended) == 1)
    let empty = log(events: 0, end: MemoryLogTests.end)
    #expect(resume(nil, in: empty) == .live(from: .beginning))
  }

  @Test func `an id is where it goes on`() {
    let log = log(events: 5)
    #expect(next(resume("\(Play.streamText).3", in: log), in: log) == 4)
    #expect(resume("\(Play.streamText).5", in: log) == .live(from: log.frontier))
    #expect(next(resume("own-2", in: log), in: log) == 3)
  }

  @Test func `a run that has ended has nothing for whoever has its last event`() {
    let ended = log(events: 5, end: MemoryLogTests.end, trailing: ": bye\n\n")
    #expect(resume("\(Play.streamText).5", in: ended) == .finished)
    #expect(resume("own-5", in: ended) == .finished)
    #expect(next(resume("\(Play.streamText).4", in: ended), in: ended) == 5)
  }

  @Test func `ids that lead nowhere are told, with the reason`() {
    let log = log(events: 5)
    #expect(resume("\(Play.streamText).6", in: log) == .reset(.unknown, oldest: 1))
    #expect(resume("\(Play.streamText).0", in: log) == .reset(.unknown, oldest: 1))
    #expect(resume("own-6", in: log) == .reset(.unknown, oldest: 1))
    let other = EventID(stream: StreamID(random: (1, 2)), sequence: 3)
    #expect(resume(other.description, in: log) == .reset(.epoch, oldest: 1))
    #expect(resume("x", in: self.log(events: 0)) == .reset(.unknown, oldest: nil))
  }

  @Test func `an id whose successors are gone is told, and so is the beginning`() {
    let log = log(events: 1000, window: 4 << 10)
    let oldest = log.oldest ?? 0
    #expect(resume("\(Play.streamText).2", in: log) == .reset(.evicted, oldest: oldest))
    #expect(resume(nil, in: log) == .reset(.evicted, oldest: oldest))
    #expect(next(resume("\(Play.streamText).\(oldest - 1)", in: log), in: log) == oldest)
    #expect(resume("own-2", in: log) == .reset(.unknown, oldest: oldest))
  }
}

struct AttendanceTests {
  private static func at(_ seconds: Int) -> MonotonicTime { MonotonicTime(nanoseconds: 1) + .seconds(seconds) }

  @Test func `a run that nobody reads is stopped at once, later or never`() {
    for (policy, verdict) in [
      (DisconnectPolicy.cancel, Attendance.Verdict.cancel), (.continue, .stay(until: nil)),
      (.grace(.seconds(15)), .stay(until: Self.at(25))), (.grace(.zero), .cancel),
    ] {
      var attendance = Attendance(policy: policy)
      attendance.came()
      attendance.came()
      #expect(attendance.left(at: Self.at(5)) == .stay(until: nil))
      #expect(attendance.left(at: Self.at(10)) == verdict)
    }
  }

  @Test func `who comes back in time saves the run`() {
    var attendance = Attendance(policy: .grace(.seconds(15)))
    // Nobody was there yet: the request that opened it is still on its way.
    #expect(attendance.verdict(at: Self.at(100)) == .stay(until: nil))
    attendance.came()
    _ = attendance.left(at: Self.at(0))
    #expect(attendance.verdict(at: Self.at(14)) == .stay(until: Self.at(15)))
    attendance.came()
    #expect(attendance.verdict(at: Self.at(20)) == .stay(until: nil))
    #expect(attendance.left(at: Self.at(20)) == .stay(until: Self.at(35)))
    #expect(attendance.verdict(at: Self.at(35)) == .cancel)
  }

  @Test func `a time of grace begins anew while somebody reads elsewhere`() {
    var attendance = Attendance(policy: .grace(.seconds(15)))
    attendance.came()
    attendance.wasRead(at: Self.at(1))
    _ = attendance.left(at: Self.at(2))
    attendance.wasRead(at: Self.at(17))
    #expect(attendance.verdict(at: Self.at(31)) == .stay(until: Self.at(32)))
    #expect(attendance.verdict(at: Self.at(32)) == .cancel)
  }

  @Test func `the last wish counts`() {
    var attendance = Attendance(policy: .cancel)
    attendance.came(wishing: .continue)
    attendance.came()
    _ = attendance.left(at: Self.at(0))
    #expect(attendance.left(at: Self.at(0)) == .stay(until: nil))
  }

  @Test func `a wish is read, and nothing else`() {
    func read(_ text: String) -> DisconnectPolicy? { DisconnectPolicy(parsing: Array(text.utf8).span) }
    #expect(read("cancel") == .cancel)
    #expect(read(" Continue ") == .continue)
    #expect(read("grace") == .grace(.seconds(15)))
    #expect(read("grace=90") == .grace(.seconds(90)))
    for policy in [DisconnectPolicy.cancel, .continue, .grace(.zero), .grace(.seconds(90))] {
      #expect(read(policy.description) == policy)
    }
    for text in ["", "grace=", "grace=-1", "grace=1s", "grace=9999999999", "keep", "cancel,continue"] {
      #expect(read(text) == nil, "\(text)")
    }
  }
}
