internal import Bytes
package import Time

/// Getters for single values. `default:` is what an absent member means.
extension JSONReader {
  package func string(_ name: String) -> String? { read(name, expected: "a string", \.string) }
  package func bool(_ name: String) -> Bool? { read(name, expected: "true or false", \.bool) }
  package func strings(_ name: String) -> [String]? {
    elements(name, expected: "a string") { value, _ in value.string }
  }

  package func string(_ name: String, default fallback: String) -> String { string(name) ?? fallback }
  package func bool(_ name: String, default fallback: Bool) -> Bool { bool(name) ?? fallback }

  /// A whole number in `range`.
  package func int(_ name: String, in range: ClosedRange<Int> = 0...Int.max) -> Int? {
    guard let number = read(name, expected: "a whole number", \.integer) else { return nil }
    return checked(number, name, range.contains(number), "\(range.lowerBound) to \(range.upperBound)")
  }

  package func int(_ name: String, in range: ClosedRange<Int> = 0...Int.max, default fallback: Int) -> Int {
    int(name, in: range) ?? fallback
  }

  /// A number in `range`.
  package func double(_ name: String, in range: ClosedRange<Double>) -> Double? {
    guard let number = read(name, expected: "a number", \.number) else { return nil }
    return checked(number, name, range.contains(number), "\(range.lowerBound) to \(range.upperBound)")
  }

  /// A length of time in `range`: `"250ms"`, `"35s"`, `"5m"`, `"1h"`, `"1d"`, or a number of seconds.
  package func duration(
    _ name: String, in range: ClosedRange<Nanoseconds> = Nanoseconds.zero...Nanoseconds.seconds(366 * 86_400)
  ) -> Nanoseconds? {
    let expected = "a duration such as \"250ms\", \"35s\", \"5m\" or a number of seconds"
    guard let duration = read(name, expected: expected, Nanoseconds.init(reading:)) else { return nil }
    let words = "\(range.lowerBound.seconds) to \(range.upperBound.seconds) seconds"
    return checked(duration, name, range.contains(duration), words)
  }

  package func duration(_ name: String, default fallback: Nanoseconds) -> Nanoseconds { duration(name) ?? fallback }

  /// A number of bytes in `range`: `"64KiB"`, `"1MiB"`, `"10MB"`, or a plain number.
  package func byteSize(_ name: String, in range: ClosedRange<Int> = 0...1 << 50) -> Int? {
    let expected = "a size such as \"64KiB\", \"1MiB\" or a number of bytes"
    guard let size = read(name, expected: expected, ByteSize.init(reading:))?.bytes else { return nil }
    return checked(size, name, range.contains(size), "\(range.lowerBound) to \(range.upperBound) bytes")
  }

  package func byteSize(_ name: String, default fallback: Int) -> Int { byteSize(name) ?? fallback }

  /// One of the cases of `Choice`.
  package func choice<Choice: RawRepresentable & CaseIterable>(
    _ name: String, _ type: Choice.Type = Choice.self
  ) -> Choice? where Choice.RawValue == String {
    let words = Choice.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
    return read(name, expected: "one of \(words)") { $0.string.flatMap(Choice.init(rawValue:)) }
  }

  private func checked<Value>(_ value: Value, _ name: String, _ isWithin: Bool, _ range: String) -> Value? {
    if isWithin { return value }
    fault(name, "out of range; allowed is \(range)")
    return nil
  }
}

extension Nanoseconds {
  /// A length of time as people write it in files and on command lines: digits with `ms`, `s`, `m`, `h` or `d`
  /// behind them. A bare number is seconds. `nil` for anything else, negative numbers included.
  package init?(parsing text: String) {
    let unitStart = text.utf8.firstIndex { !$0.isASCIIDigit && $0 != UInt8(ascii: ".") } ?? text.endIndex
    let units = ["": 1, "ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400] as [String: Double]
    guard let unit = units[String(text[unitStart...])], let count = Double(text[..<unitStart]) else { return nil }
    self.init(seconds: count * unit)
  }

  fileprivate init?(reading value: JSONValue) {
    switch value {
    case .number(let seconds): self.init(seconds: seconds)
    case .string(let text): self.init(parsing: text)
    default: return nil
    }
  }

  private init?(seconds: Double) {
    guard seconds >= 0, seconds < 9e9 else { return nil }
    self = .seconds(seconds)
  }
}

/// A number of bytes as people write it: `512`, `64KiB`, `1MiB`, `2GiB`, `10MB`, `1kB`.
package struct ByteSize: Equatable, Sendable {
  package var bytes: Int

  package init?(parsing text: String) {
    let unitStart = text.utf8.firstIndex { !$0.isASCIIDigit && $0 != UInt8(ascii: ".") } ?? text.endIndex
    let units: [String: Double] = [
      "": 1, "B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9,
      "KiB": 1024, "MiB": 1_048_576, "GiB": 1_073_741_824,
    ]
    guard let unit = units[String(text[unitStart...])], let count = Double(text[..<unitStart]) else { return nil }
    self.init(count: count * unit)
  }

  fileprivate init?(reading value: JSONValue) {
    switch value {
    case .number(let count): self.init(count: count)
    case .string(let text): self.init(parsing: text)
    default: return nil
    }
  }

  private init?(count: Double) {
    guard count >= 0, count <= 0x1p52, let bytes = Int(exactly: count.rounded()) else { return nil }
    self.bytes = bytes
  }
}
