/// Prometheus text, read strictly: whatever a scraper would refuse is an error here.
package struct MetricsText: Sendable {
  package struct Sample: Sendable {
    package let name: String
    package let labels: [String: String]
    package let value: Double
  }

  package private(set) var samples: [Sample] = []
  /// The type of each family: `counter`, `gauge`, `histogram`.
  package private(set) var types: [String: String] = [:]

  package init(parsing text: String) throws {
    guard text.hasSuffix("\n") else { throw SupportError("the last line of the metrics does not end") }
    var seen: Set<String> = []
    for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
      if line.hasPrefix("# HELP ") { continue }
      if line.hasPrefix("# TYPE ") {
        let words = line.split(separator: " ")
        guard words.count == 4, types[String(words[2])] == nil else { throw SupportError("a bad type line: \(line)") }
        types[String(words[2])] = String(words[3])
        continue
      }
      let sample = try Self.sample(line)
      guard types[Self.family(of: sample.name, types)] != nil else { throw SupportError("no type for \(line)") }
      guard seen.insert(String(line[..<(line.lastIndex(of: " ") ?? line.endIndex)])).inserted else {
        throw SupportError("twice: \(line)")
      }
      samples.append(sample)
    }
  }

  /// The value of the only sample of that name whose labels hold `labels`; the sum when there are several.
  package func value(_ name: String, _ labels: [String: String] = [:]) -> Double {
    samples.filter { sample in
      sample.name == name && labels.allSatisfy { sample.labels[$0.key] == $0.value }
    }.reduce(0) { $0 + $1.value }
  }

  private static func family(of name: String, _ types: [String: String]) -> String {
    if types[name] != nil { return name }
    for suffix in ["_bucket", "_sum", "_count"] where name.hasSuffix(suffix) {
      let family = String(name.dropLast(suffix.count))
      if types[family] == "histogram" { return family }
    }
    return ""
  }

  private static func sample(_ line: Substring) throws -> Sample {
    let failure = SupportError("not a sample: \(line)")
    guard let space = line.lastIndex(of: " "), let value = number(line[line.index(after: space)...]) else {
      throw failure
    }
    let series = line[..<space]
    let name = String(series.prefix { $0 != "{" })
    guard !name.isEmpty, name.utf8.allSatisfy({ isNameByte($0) }) else { throw failure }
    guard let brace = series.firstIndex(of: "{") else { return Sample(name: name, labels: [:], value: value) }
    guard series.hasSuffix("}") else { throw failure }
    var labels: [String: String] = [:]
    var rest = series[series.index(after: brace)...].dropLast()
    while !rest.isEmpty {
      guard let equals = rest.range(of: "=\""), let end = rest[equals.upperBound...].closingQuote else {
        throw failure
      }
      labels[String(rest[..<equals.lowerBound])] = String(rest[equals.upperBound..<end])
      rest = rest[rest.index(after: end)...]
      if rest.first == "," { rest.removeFirst() } else if !rest.isEmpty { throw failure }
    }
    return Sample(name: name, labels: labels, value: value)
  }

  private static func number(_ text: Substring) -> Double? {
    text == "+Inf" ? .infinity : Double(text)
  }

  private static func isNameByte(_ byte: UInt8) -> Bool {
    byte == 0x5F || byte == 0x3A || (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte)
      || (0x61...0x7A).contains(byte)
  }
}

extension Substring {
  /// The first quote that is not escaped.
  fileprivate var closingQuote: Index? {
    var isEscaped = false
    return indices.first { index in
      defer { isEscaped = self[index] == "\\" && !isEscaped }
      return self[index] == "\"" && !isEscaped
    }
  }

  /// The first place of `text`.
  fileprivate func range(of text: String) -> Range<Index>? {
    var index = startIndex
    while index < endIndex {
      if self[index...].hasPrefix(text) { return index..<self.index(index, offsetBy: text.count) }
      index = self.index(after: index)
    }
    return nil
  }
}
