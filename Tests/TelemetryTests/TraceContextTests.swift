import Bytes
import Telemetry
import Testing

/// `traceparent` after W3C Trace Context, 3.2.2.
@Suite struct TraceContextTests {
  private static let id = "4bf92f3577b34da6a3ce929d0e0e4736"
  private static let zeros = String(repeating: "0", count: 32)
  private static let parent = "00f067aa0ba902b7"

  private func context(_ text: String) -> TraceContext? { TraceContext(parsing: text.utf8Span.span) }

  @Test func `a valid field gives its trace, its span and whether it is recorded`() throws {
    let found = try #require(context("00-\(Self.id)-\(Self.parent)-01"))
    #expect(found.trace.description == Self.id && found.isSampled)
    #expect(found.span == SpanID(0x00f0_67aa_0ba9_02b7))
    #expect(context("00-\(Self.id)-\(Self.parent)-00")?.isSampled == false)
    #expect(context("00-\(Self.id)-\(Self.parent)-ff")?.isSampled == true)
    // A later version may have more behind the flags.
    #expect(context("01-\(Self.id)-\(Self.parent)-01")?.trace == found.trace)
    #expect(context("cc-\(Self.id)-\(Self.parent)-01-more")?.trace == found.trace)
  }

  @Test(arguments: [
    "", "00", "00-\(zeros)-\(parent)-01", "00-\(id)-0000000000000000-01", "ff-\(id)-\(parent)-01",
    "00-\(id.uppercased())-\(parent)-01", "00-\(id)-\(parent.uppercased())-01", "00-\(id)-\(parent)-0G",
    "00_\(id)-\(parent)-01", "00-\(id)_\(parent)-01", "00-\(id)-\(parent)_01", "00-\(id)-\(parent)-0",
    "00-\(id)-\(parent)-01-more", "cc-\(id)-\(parent)-01more", " 00-\(id)-\(parent)-01", "0g-\(id)-\(parent)-01",
  ])
  func `what the standard calls invalid gives none`(text: String) {
    #expect(context(text) == nil)
  }

  @Test func `what is passed on names the new span in the same trace`() throws {
    let found = try #require(context("00-\(Self.id)-\(Self.parent)-01"))
    var out = ByteBuffer()
    found.passedOn(by: SpanID(0x1F)).write(to: &out)
    #expect(String(decoding: out.toArray(), as: UTF8.self) == "00-\(Self.id)-000000000000001f-01")
  }

  @Test func `a share of the traces is recorded`() {
    func count(_ share: Double) -> Int {
      let sampler = TraceSampler(share: share)
      return (0..<1000).count { sampler.samples(TraceID(high: 1, low: UInt64($0) << 54 &* 0x9E37_79B9)) }
    }
    #expect(count(0) == 0 && count(-1) == 0 && count(1) == 1000 && count(2) == 1000)
    let whole = TraceSampler(share: 0.25)
    #expect(whole.samples(TraceID(high: 9, low: 0x3FFF_FFFF_FFFF_FFFF)))
    #expect(!whole.samples(TraceID(high: 0, low: 0x4000_0000_0000_0000)))
  }
}
