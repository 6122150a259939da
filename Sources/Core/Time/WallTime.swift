/// A point in civil time, for what people and other programs read: log lines, `stream_end`.
package struct WallTime: Comparable, Hashable, Sendable {
  /// Milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
  package var milliseconds: Int64

  package init(milliseconds: Int64) {
    self.milliseconds = milliseconds
  }

  package static func < (left: Self, right: Self) -> Bool { left.milliseconds < right.milliseconds }

  /// `2026-01-31T12:00:00.000Z` (RFC 3339, always UTC, always milliseconds). It has four digits for the year: times
  /// before the year 0 or after 9999 are written as the first or the last that it can tell.
  package var rfc3339: String {
    let characters = rfc3339Characters
    return String(decoding: (0..<24).map { characters[$0] }, as: UTF8.self)
  }

  /// The characters of `rfc3339`, which take no memory of their own.
  package var rfc3339Characters: [24 of UInt8] {
    let parts = WallTime(milliseconds: min(max(milliseconds, Self.first), Self.last)).parts
    var text: [24 of UInt8] = .init(repeating: UInt8(ascii: "-"))
    func write(_ number: Int, at place: Int) {
      let number = UInt32(truncatingIfNeeded: number)
      let tens = number / 10
      text[place] = 0x30 &+ UInt8(truncatingIfNeeded: tens)
      text[place &+ 1] = 0x30 &+ UInt8(truncatingIfNeeded: number &- tens &* 10)
    }
    let century = parts.year / 100
    write(century, at: 0)
    write(parts.year - century * 100, at: 2)
    write(parts.month, at: 5)
    write(parts.day, at: 8)
    text[10] = UInt8(ascii: "T")
    write(parts.hour, at: 11)
    text[13] = UInt8(ascii: ":")
    write(parts.minute, at: 14)
    text[16] = UInt8(ascii: ":")
    write(parts.second, at: 17)
    text[19] = UInt8(ascii: ".")
    let tenths = parts.millisecond / 10
    write(tenths, at: 20)
    text[22] = 0x30 &+ UInt8(truncatingIfNeeded: parts.millisecond - tenths * 10)
    text[23] = UInt8(ascii: "Z")
    return text
  }

  /// 0000-01-01T00:00:00.000Z and 9999-12-31T23:59:59.999Z.
  private static let first: Int64 = -62_167_219_200_000
  private static let last: Int64 = 253_402_300_799_999

  /// A date and time of day in UTC.
  package struct Parts: Equatable, Sendable {
    package var year, month, day: Int
    package var hour, minute, second, millisecond: Int
  }

  package var parts: Parts {
    let days = Self.floorDivide(milliseconds, by: 86_400_000)
    // Wrapping: for the very first day of the type the product is beyond it, the difference is not.
    let ofDay = Int(milliseconds &- days &* 86_400_000)
    let (year, month, day) = Self.civil(fromDays: days)
    return Parts(
      year: year, month: month, day: day, hour: ofDay / 3_600_000, minute: ofDay / 60_000 % 60,
      second: ofDay / 1000 % 60, millisecond: ofDay % 1000)
  }

  private static func floorDivide(_ dividend: Int64, by divisor: Int64) -> Int64 {
    let quotient = dividend / divisor
    return dividend % divisor < 0 ? quotient - 1 : quotient
  }

  /// Days since 1970-01-01 to a date of the proleptic Gregorian calendar. The year is counted from March, so
  /// that the leap day is its last, in eras of 400 years (146,097 days).
  private static func civil(fromDays days: Int64) -> (year: Int, month: Int, day: Int) {
    let shifted = days + 719_468
    let era = floorDivide(shifted, by: 146_097)
    let dayOfEra = Int(shifted - era * 146_097)
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let monthFromMarch = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
    let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
    let year = yearOfEra + Int(era) * 400 + (month <= 2 ? 1 : 0)
    return (year, month, day)
  }
}

extension WallTime {
  /// Reads what `rfc3339` writes, with or without a fraction of a second; only UTC (`Z`). `nil` for anything else.
  package init?(rfc3339 text: String) {
    let fields = text.utf8.split(omittingEmptySubsequences: false) { "-T:Z.".utf8.contains($0) }.map {
      String($0) ?? ""
    }
    guard text.utf8.last == UInt8(ascii: "Z"), (7...8).contains(fields.count), fields.last == "",
      let year = Int(fields[0]), let month = Int(fields[1]), let day = Int(fields[2]), let hour = Int(fields[3]),
      let minute = Int(fields[4]), let second = Int(fields[5]), (1...9999).contains(year), (1...12).contains(month),
      (1...31).contains(day), (0...23).contains(hour), (0...59).contains(minute), (0...60).contains(second)
    else { return nil }
    let fraction = fields.count == 8 ? String((fields[6] + "000").prefix(3)) : "0"
    guard let milliseconds = Int(fraction), milliseconds >= 0 else { return nil }
    let days = Self.days(year: year, month: month, day: day)
    let seconds = ((Int(days) * 24 + hour) * 60 + minute) * 60 + second
    self.init(milliseconds: Int64(seconds * 1000 + milliseconds))
  }

  /// Days since 1970-01-01, the inverse of `civil(fromDays:)`.
  fileprivate static func days(year: Int, month: Int, day: Int) -> Int64 {
    let shifted = month > 2 ? year : year - 1
    let era = shifted >= 0 ? shifted / 400 : (shifted - 399) / 400
    let yearOfEra = shifted - era * 400
    let monthFromMarch = (month + 9) % 12
    let dayOfYear = (153 * monthFromMarch + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return Int64(era * 146_097 + dayOfEra - 719_468)
  }
}

extension WallTime {
  /// Reads a date as HTTP senders must write it: `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7). `nil` for anything
  /// else; what the weekday says is not looked at.
  package init?(httpDate text: Span<UInt8>) {
    guard text.count == 29, text[3] == UInt8(ascii: ","), text[19] == UInt8(ascii: ":"), text[22] == UInt8(ascii: ":"),
      text[28] == UInt8(ascii: "T"), let day = Self.number(text, 5..<7), (1...31).contains(day),
      let month = Self.month(text), let year = Self.number(text, 12..<16), year > 0,
      let hour = Self.number(text, 17..<19), hour < 24, let minute = Self.number(text, 20..<22), minute < 60,
      let second = Self.number(text, 23..<25), second <= 60
    else { return nil }
    let days = Int(Self.days(year: year, month: month, day: day))
    self.init(milliseconds: Int64((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000))
  }

  private static func number(_ text: Span<UInt8>, _ range: Range<Int>) -> Int? {
    var value = 0
    for index in range {
      guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(text[index]) else { return nil }
      value = value * 10 + Int(text[index] - UInt8(ascii: "0"))
    }
    return value
  }

  private static func month(_ text: Span<UInt8>) -> Int? {
    let names: [StaticString] = [
      "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]
    for (index, name) in names.enumerated() where (0..<3).allSatisfy({ unsafe text[8 + $0] == name.utf8Start[$0] }) {
      return index + 1
    }
    return nil
  }
}
