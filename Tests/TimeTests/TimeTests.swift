import FoundationEssentials
import Testing
import Time

struct WallTimeTests {
  @Test(
    arguments: [
      (0, "1970-01-01T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.999Z"), (951_782_400_000, "2000-02-29T00:00:00.000Z"),
      (951_868_799_999, "2000-02-29T23:59:59.999Z"), (951_868_800_000, "2000-03-01T00:00:00.000Z"),
      (4_107_542_399_999, "2100-02-28T23:59:59.999Z"), (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
      (1_769_860_800_000, "2026-01-31T12:00:00.000Z"), (1_709_164_800_001, "2024-02-29T00:00:00.001Z"),
      (-2_203_891_200_001, "1900-02-28T23:59:59.999Z"), (-2_203_891_200_000, "1900-03-01T00:00:00.000Z"),
      (-62_135_596_800_000, "0001-01-01T00:00:00.000Z"), (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
      (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ] as [(Int64, String)])
  func `dates at the edges of months, years and centuries`(_ milliseconds: Int64, _ text: String) {
    #expect(WallTime(milliseconds: milliseconds).rfc3339 == text)
  }

  @Test func `times beyond four digits of a year are the first and the last there are`() {
    for beyond in [Int64.min, -62_167_219_200_001] {
      #expect(WallTime(milliseconds: beyond).rfc3339 == "0000-01-01T00:00:00.000Z")
    }
    for beyond in [Int64.max, 253_402_300_800_000] {
      #expect(WallTime(milliseconds: beyond).rfc3339 == "9999-12-31T23:59:59.999Z")
    }
  }

  @Test func `the first and the last time have parts`() {
    let first = WallTime(milliseconds: .min).parts
    #expect((first.year, first.month, first.day, first.hour) == (-292_275_055, 5, 16, 16))
    #expect((first.minute, first.second, first.millisecond) == (47, 4, 192))
    let last = WallTime(milliseconds: .max).parts
    #expect((last.year, last.month, last.day, last.hour) == (292_278_994, 8, 17, 7))
  }

  @Test func `every day of 400 years is the one that follows`() {
    var calendar = Calendar(identifier: .gregorian)
    calendar.timeZone = .gmt
    for day in stride(from: Int64(-80_000), to: 80_000, by: 7) {
      let parts = WallTime(milliseconds: day * 86_400_000).parts
      let date = calendar.dateComponents(
        [.year, .month, .day], from: Date(timeIntervalSince1970: Double(day) * 86_400))
      #expect(date.year == parts.year && date.month == parts.month && date.day == parts.day, "day \(day)")
    }
  }

  @Test func `later is greater`() {
    #expect(WallTime(milliseconds: -1) < WallTime(milliseconds: 0))
  }
}

struct NanosecondsTests {
  @Test func `lengths are counted and compared`() {
    #expect(Nanoseconds.seconds(2).value == 2_000_000_000)
    #expect(Nanoseconds.seconds(0.5) == .milliseconds(500))
    #expect(Nanoseconds.seconds(-1) < .zero)
    #expect(Nanoseconds.milliseconds(1500).seconds == 1.5)
    #expect(Nanoseconds.seconds(2).milliseconds == 2000)
    #expect(Nanoseconds.seconds(1) + .seconds(2) - .seconds(3) == .zero)
  }

  @Test func `what is too long to be counted is as long as can be`() {
    let (least, most) = (Nanoseconds(.min), Nanoseconds(.max))
    #expect(Nanoseconds.seconds(Int.max) == most)
    #expect(Nanoseconds.seconds(Int.min) == least)
    #expect(Nanoseconds.milliseconds(Int.max) == most)
    #expect(Nanoseconds.seconds(1e300) == most)
    #expect(Nanoseconds.seconds(-1e300) == least)
    #expect(Nanoseconds.seconds(Double.infinity) == most)
    #expect(Nanoseconds.seconds(-Double.infinity) == least)
    #expect(Nanoseconds.seconds(Double.nan) == .zero)
    #expect(most + .seconds(1) == most)
    #expect(least + .seconds(-1) == least)
    #expect(most - .seconds(-1) == most)
    #expect(least - .seconds(1) == least)
  }

  @Test func `points in time and the lengths between them`() {
    let start = MonotonicTime(nanoseconds: 5_000_000_000)
    let later = start + .seconds(3)
    #expect(later.nanoseconds == 8_000_000_000)
    #expect(later - start == .seconds(3))
    #expect(start - later == .seconds(-3))
    #expect(later + .seconds(-3) == start)
    #expect(start < later)
  }

  @Test(arguments: [
    ("Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37.000Z"),
    ("Thu, 01 Jan 1970 00:00:00 GMT", "1970-01-01T00:00:00.000Z"),
    ("Sunday, 06-Nov-94 08:49:37 GMT", nil), ("Sun, 6 Nov 1994 08:49:37 GMT", nil),
    ("Sun, 06 Nom 1994 08:49:37 GMT", nil),
    ("Sun, 06 Nov 1994 24:49:37 GMT", nil), ("", nil), ("120", nil),
  ])
  func `a date of HTTP is read as senders must write it`(text: String, time: String?) {
    #expect(WallTime(httpDate: text.utf8Span.span)?.rfc3339 == time)
  }
}
