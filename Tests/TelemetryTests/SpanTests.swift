import Bytes
import Telemetry
import Testing
import Time

@Suite struct SpanTests {
  private static let context = TraceContext(
    trace: TraceID(high: 0x0123_4567_89AB_CDEF, low: 0xFEDC_BA98_7654_3210), span: SpanID(0xAB), isSampled: true)

  private static func text(_ span: SpanRecord) -> String {
    var out = ByteBuffer()
    span.write(to: &out)
    return String(decoding: out.toArray(), as: UTF8.self)
  }

  @Test func `a span is written as OTLP has it`() {
    var span = SpanRecord(
      "attempt \"a\"", .client, Self.context, parent: SpanID(0xCD), from: 1_769_860_800_000_000_001,
      to: 1_769_860_800_000_000_002)
    span.set("fermata.route", "chat")
    span.set("http.response.status_code", 503)
    span.set("missing", nil as String?)
    span.events = [SpanRecord.Event("head", at: 7), SpanRecord.Event("first_event", at: 8)]
    span.droppedEvents = 3
    span.links = [Self.context]
    span.error = "status"
    let golden =
      #"{"traceId":"0123456789abcdeffedcba9876543210","spanId":"00000000000000ab","parentSpanId":"00000000000000cd","#
      + #""name":"attempt \"a\"","kind":3,"startTimeUnixNano":"1769860800000000001","#
      + #""endTimeUnixNano":"1769860800000000002","attributes":[{"key":"fermata.route","value":{"stringValue":"chat"}},"#
      + #"{"key":"http.response.status_code","value":{"intValue":"503"}}],"#
      + #""events":[{"timeUnixNano":"7","name":"head"},{"timeUnixNano":"8","name":"first_event"}],"#
      + #""droppedEventsCount":3,"links":[{"traceId":"0123456789abcdeffedcba9876543210","spanId":"00000000000000ab"}],"#
      + #""status":{"code":2,"message":"status"}}"#
    #expect(Self.text(span) == golden)
  }

  @Test func `a first span has no parent, an unset status, and never ends before it began`() {
    let text = Self.text(SpanRecord("GET all", .server, Self.context, parent: nil, from: 9, to: 5))
    #expect(!text.contains("parentSpanId") && text.hasSuffix(#""attributes":[],"status":{}}"#))
    #expect(text.contains(#""startTimeUnixNano":"9","endTimeUnixNano":"9""#))
  }

  @Test func `a batch names who sends it`() {
    var out = ByteBuffer()
    SpanBatch.write([Array("{}".utf8), Array("{}".utf8)], of: [("service.name", .text("f"))], version: "1", to: &out)
    let golden =
      #"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"f"}}]},"#
      + #""scopeSpans":[{"scope":{"name":"fermata","version":"1"},"spans":[{},{}]}]}]}"#
    #expect(String(decoding: out.toArray(), as: UTF8.self) == golden)
  }

  @Test func `a queue takes as many spans and bytes as it may, and gives the oldest first`() {
    var queue = SpanQueue(spanLimit: 3, byteLimit: 10)
    var taken = [[1], [2, 2], [3], [4]].map { queue.add($0) }
    #expect(taken == [true, true, true, false] && queue.count == 3)
    let first = queue.take(atMost: 2)
    #expect(first == [[1], [2, 2]] && queue.count == 1)
    taken = [[UInt8](repeating: 0, count: 9), [UInt8](repeating: 0, count: 1)].map { queue.add($0) }
    #expect(taken == [true, false], "what was taken has made room")
    let rest = queue.take(atMost: 9)
    #expect(rest.count == 2 && queue.count == 0)
  }
}

@Suite struct ExportMachineTests {
  private static func at(_ milliseconds: Int) -> MonotonicTime {
    MonotonicTime(nanoseconds: 0) + .milliseconds(milliseconds)
  }

  /// A machine that has a batch under way since `time`.
  private static func sending(since time: Int) -> ExportMachine {
    var machine = ExportMachine(at: at(time))
    _ = machine.nextStep(at: at(time), waiting: ExportMachine.batchLimit)
    return machine
  }

  @Test func `a batch is sent when it is full, or its first span has waited`() {
    var machine = ExportMachine(at: Self.at(0))
    let steps = [(0, 0), (1000, 1), (3999, 9), (4000, 9)].map { machine.nextStep(at: Self.at($0.0), waiting: $0.1) }
    #expect(steps == [.nothing, .nothing, .nothing, .send(atMost: 512)] && machine.isBusy)
    let second = machine.nextStep(at: Self.at(4001), waiting: 2000)
    #expect(second == .nothing, "one request at a time")
    var full = ExportMachine(at: Self.at(0))
    let now = full.nextStep(at: Self.at(1), waiting: 512)
    #expect(now == .send(atMost: 512))
    var last = ExportMachine(at: Self.at(0))
    let end = last.nextStep(at: Self.at(1), waiting: 1, isLast: true)
    #expect(end == .send(atMost: 512), "at the end nothing waits")
  }

  @Test(arguments: [(200, true), (204, true), (400, false), (401, false), (500, false), (501, false)])
  func `an answer that asks for no other try is the last`(status: Int, isGood: Bool) {
    var machine = Self.sending(since: 0)
    let fate = machine.answered(status, retryAfter: .seconds(1), at: Self.at(5))
    #expect(fate == (isGood ? .exported : .failed) && !machine.isBusy)
  }

  @Test(arguments: [429, 502, 503, 504])
  func `the same batch is sent again, and not before Retry-After`(status: Int) {
    var machine = Self.sending(since: 0)
    let fate = machine.answered(status, retryAfter: .seconds(3), at: Self.at(100))
    #expect(fate == .kept && machine.isBusy)
    let steps = [3000, 3099, 3100].map { machine.nextStep(at: Self.at($0), waiting: 512) }
    #expect(steps == [.nothing, .nothing, .sendAgain])
    let second = machine.answered(200, retryAfter: nil, at: Self.at(3200))
    #expect(second == .exported)
  }

  @Test func `tries grow apart, and end`() {
    var (machine, now, waits) = (Self.sending(since: 0), 0, [Int]())
    while machine.answered(503, retryAfter: nil, at: Self.at(now)) == .kept {
      let asked = now
      while machine.nextStep(at: Self.at(now), waiting: 1) != .sendAgain { now += 100 }
      waits.append(now - asked)
    }
    #expect(waits == [1000, 2000, 4000, 8000] && !machine.isBusy)
  }

  @Test func `a collector that hangs is given up, and the next batch is sent later`() {
    var machine = Self.sending(since: 0)
    let steps = [9999, 10_000].map { machine.nextStep(at: Self.at($0), waiting: 2048) }
    #expect(steps == [.nothing, .abandon])
    let fate = machine.failed(at: Self.at(10_000))
    #expect(fate == .failed)
    let next = machine.nextStep(at: Self.at(10_001), waiting: 5)
    #expect(next == .nothing)
  }
}
