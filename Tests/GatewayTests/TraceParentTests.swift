import Gateway
import Testing

/// `traceparent` after W3C Trace Context, 3.2.2.
struct TraceParentTests {
  private static let id = "4bf92f3577b34da6a3ce929d0e0e4736"
  private static let zeros = String(repeating: "0", count: 32)
  private static let parent = "00f067aa0ba902b7"

  private func traceID(_ text: String) -> String? { TraceParent.traceID(in: text.utf8Span.span) }

  @Test func `a valid field gives its trace id`() {
    #expect(traceID("00-\(Self.id)-\(Self.parent)-01") == Self.id)
    // A later version may have more behind the flags.
    #expect(traceID("01-\(Self.id)-\(Self.parent)-01") == Self.id)
    #expect(traceID("cc-\(Self.id)-\(Self.parent)-01-more") == Self.id)
  }

  @Test(arguments: [
    "", "00", "00-\(zeros)-\(parent)-01", "00-\(id)-0000000000000000-01", "ff-\(id)-\(parent)-01",
    "00-\(id.uppercased())-\(parent)-01", "00-\(id)-\(parent.uppercased())-01", "00-\(id)-\(parent)-0G",
    "00_\(id)-\(parent)-01", "00-\(id)_\(parent)-01", "00-\(id)-\(parent)_01", "00-\(id)-\(parent)-0",
    "00-\(id)-\(parent)-01-more", "cc-\(id)-\(parent)-01more", " 00-\(id)-\(parent)-01",
  ])
  func `what the standard calls invalid gives none`(text: String) {
    #expect(traceID(text) == nil)
  }
}
