import Bytes
import Harness
import Testing
import Time

/// What a script puts on the wire, written in short: `H` head, text of bodies, `~` waits, `!end`.
func played(_ script: Script, limit: Int = 1000) -> String {
  var cursor = ScriptCursor(script)
  var text = ""
  for _ in 0..<limit {
    switch cursor.next() {
    case .head(let head): text += "H\(head.status) "
    case .body(let bytes): text += String(decoding: bytes, as: UTF8.self)
    case .raw(let bytes): text += "<" + String(decoding: bytes, as: UTF8.self) + ">"
    case .stamped(let size, let count): text += "[\(size)" + (count > 1 ? "x\(count)]" : "]")
    case .wait(let time): text += "~\(Int(time.milliseconds))"
    case .stall: return text + "!stall"
    case .finish(let end): return text + "!\(end)"
    }
  }
  return text + "…"
}

@Suite struct ScriptCursorTests {
  @Test func `steps come in their order and a script ends cleanly by itself`() {
    let script = Script([.pause(.milliseconds(3)), .head(), .event("a", "1"), .comment("c"), .raw("r")])
    #expect(played(script) == "~3H200 event: a\ndata: 1\n\n:c\n<r>!clean")
  }

  @Test func `repeated steps may be nested, and none are none`() {
    let inner = Script.Step.repeated(count: 2, interval: .zero, [.body("x")])
    let script = Script([
      .repeated(count: 3, interval: .milliseconds(5), [inner, .body("-")]),
      .repeated(count: 0, interval: .zero, [inner]),
    ])
    #expect(played(script) == "xx-~5xx-~5xx-~5!clean")
  }

  @Test func `a trickle waits after each piece`() {
    let script = Script([.trickle(Array("abcde".utf8), piece: 2, interval: .milliseconds(1)), .cut])
    #expect(played(script) == "ab~1cd~1e~1!cut")
  }

  @Test func `a flood is as long as was asked`() {
    var cursor = ScriptCursor(Script([.flood(200_000)]))
    var count = 0
    while case .body(let bytes) = cursor.next() { count += bytes.count }
    #expect(count == 200_000)
    #expect(Script([.flood(200_000)]).bodyLength == 200_000)
  }

  @Test func `the announced length counts every step`() {
    let script = Script([
      .head(), .repeated(count: 2, interval: .zero, [.body("abc"), .stamped(size: 120)]), .event(nil, "x"), .raw("zz"),
    ])
    #expect(script.bodyLength == 2 * 123 + 9)
  }
}

@Suite struct ScriptQueryTests {
  @Test(arguments: [
    ("events=2", "H200 event: token\ndata: {\"n\":1}\n\n~0event: token\ndata: {\"n\":2}\n\n~0!clean"),
    ("events=5&cut=1&interval=7", "H200 event: token\ndata: {\"n\":1}\n\n~7!cut"),
    ("events=1&fin=1", "H200 event: token\ndata: {\"n\":1}\n\n~0!unterminated"),
    ("events=1&mid=0", "H200 !midChunk"),
    ("stall=0", "H200 !stall"),
    (
      "complete=done&trailing=1",
      "H200 event: done\ndata: {\"type\":\"done\"}\n\nevent: trailing\ndata: {\"trailing\":1}\n\n!clean"
    ),
    ("done=1&status=500&delay=9", "~9H500 data: [DONE]\n\n!clean"),
    ("events=3&interval=4&size=120", "H200 [120]~4[120]~4[120]~4!clean"),
    ("events=2000&burst=1&size=120", "H200 [120x2000]!clean"),
    ("events=2&burst=1", "H200 event: token\ndata: {\"n\":1}\n\nevent: token\ndata: {\"n\":2}\n\n!clean"),
    ("garbage=HTTP%2F9+x%0D%0A", "<HTTP/9 x\r\n>!unterminated"),
    ("events=-1&status=abc&&=&%", "H200 !clean"),
  ])
  func `a query selects its script`(query: String, expected: String) {
    #expect(played(ScriptQuery(query).script) == expected)
  }
}

@Suite struct StampedEventTests {
  @Test(arguments: [0, 57, 120, 1000])
  func `an event has its size and gives its time back`(size: Int) {
    var out = ByteBuffer()
    StampedEvent.write(at: MonotonicTime(nanoseconds: 123_456_789_012), size: size, to: &out)
    #expect(out.count == max(size, StampedEvent.minimumSize))
    #expect(String(copying: out.span).hasSuffix("\"}\n\n"))
    var times: [UInt64] = []
    _ = StampedEvent.scan(out.span) { times.append($0.nanoseconds) }
    #expect(times == [123_456_789_012])
  }

  @Test func `every split of the input finds every event once`() {
    var out = ByteBuffer()
    for number in 1...3 {
      StampedEvent.write(at: MonotonicTime(nanoseconds: UInt64(number)), size: 70, to: &out)
      out.append(": keepalive data: {\"t\n")
    }
    let all = out.toArray()
    for split in 0...all.count {
      var times: [UInt64] = []
      var kept: [UInt8] = []
      for piece in [all[..<split], all[split...]] {
        kept += piece
        let rest = StampedEvent.scan(kept.span) { times.append($0.nanoseconds) }
        kept.removeFirst(rest)
      }
      #expect(times == [1, 2, 3], "split at \(split)")
    }
  }
}

@Suite struct LatencyHistogramTests {
  @Test func `quantiles are right within one part in 32`() {
    var histogram = LatencyHistogram()
    for value in 1...100_000 { histogram.record(Nanoseconds(Int64(value) * 17)) }
    for share in [0.01, 0.5, 0.9, 0.99, 1] {
      let exact = share * 100_000 * 17
      let found = Double(histogram.quantile(share).value)
      #expect(found >= exact * 0.999 && found <= exact * 1.04, "\(share): \(found) for \(exact)")
    }
    #expect(histogram.maximum == Nanoseconds(1_700_000))
  }

  @Test func `no, negative and huge values do no harm`() {
    var histogram = LatencyHistogram()
    #expect(histogram.quantile(0.5) == .zero)
    histogram.record(Nanoseconds(-5))
    histogram.record(Nanoseconds(.max))
    #expect(histogram.quantile(0) == .zero)
    #expect(histogram.quantile(1) == Nanoseconds(.max))
  }

  @Test func `merged histograms are one`() {
    var (one, two) = (LatencyHistogram(), LatencyHistogram())
    one.record(.milliseconds(1))
    two.record(.milliseconds(9))
    one.merge(two)
    #expect(one.count == 2 && one.maximum == .milliseconds(9))
  }
}
