package import Bytes

/// Reads and edits the query of a target as `name=value` pairs joined by `&`, the form browsers send.
package enum QueryString {
  /// The value of the first parameter named `name`, still percent-encoded; empty when it has no `=`. Names are
  /// compared after decoding.
  @_lifetime(copy query)
  package static func rawValue(of name: StaticString, in query: Span<UInt8>) -> Span<UInt8>? {
    var offset = startOfPair(mayBe: name, in: query, from: 0)
    while offset <= query.count {
      let pair = Pair(in: query, from: offset)
      if pair.hasName(name, in: query) { return query.extracting(pair.value) }
      offset = startOfPair(mayBe: name, in: query, from: pair.end + 1)
    }
    return nil
  }

  /// Where the first pair at or behind `offset` starts that can have that name: with its first character or an escape.
  /// Beyond the end when there is none.
  private static func startOfPair(mayBe name: StaticString, in query: Span<UInt8>, from offset: Int) -> Int {
    guard name.utf8CodeUnitCount > 0 else { return offset }
    guard offset < query.count else { return query.count + 1 }
    let (first, escape) = (unsafe name.utf8Start[0], UInt8(ascii: "%"))
    if query[offset] == first || query[offset] == escape { return offset }
    return query.firstIndex(of: UInt8(ascii: "&"), before: first, or: escape, from: offset) + 1
  }

  /// The decoded value of the first parameter named `name`; `nil` when there is none or its encoding is broken.
  package static func value(of name: StaticString, in query: Span<UInt8>) -> [UInt8]? {
    guard let raw = rawValue(of: name, in: query) else { return nil }
    return PercentEncoding.decoded(raw)
  }

  /// The decoded values of all parameters named `name`, but for those whose encoding is broken.
  package static func values(of name: String, in query: Span<UInt8>) -> [[UInt8]] {
    var found: [[UInt8]] = []
    var offset = 0
    while offset <= query.count {
      let pair = Pair(in: query, from: offset)
      offset = pair.end + 1
      guard let decoded = PercentEncoding.decoded(query.extracting(pair.name)), decoded.span.equals(name.utf8Span.span),
        let value = PercentEncoding.decoded(query.extracting(pair.value))
      else { continue }
      found.append(value)
    }
    return found
  }

  /// Appends `query` without the parameters named in `names`; the rest keeps its bytes and order.
  ///
  /// Returns whether anything is left. Nothing is appended when nothing is.
  @discardableResult
  package static func write(
    _ query: Span<UInt8>, removing names: [StaticString], into buffer: inout ByteBuffer
  ) -> Bool {
    var offset = 0
    var isFirst = true
    while offset <= query.count {
      let pair = Pair(in: query, from: offset)
      if !names.contains(where: { pair.hasName($0, in: query) }) {
        if !isFirst { buffer.append(UInt8(ascii: "&")) }
        buffer.append(query.extracting(offset..<pair.end))
        isFirst = false
      }
      offset = pair.end + 1
    }
    return !isFirst
  }

  /// Whether `query` has a parameter of one of these names.
  package static func contains(anyOf names: [StaticString], in query: Span<UInt8>) -> Bool {
    names.contains { rawValue(of: $0, in: query) != nil }
  }

  private struct Pair {
    let name: Range<Int>
    let value: Range<Int>
    /// The position of the `&` behind it, or the query's end.
    let end: Int

    init(in query: Span<UInt8>, from offset: Int) {
      end = query.firstIndex(of: UInt8(ascii: "&"), from: offset) ?? query.count
      let equals = query.extracting(offset..<end).firstIndex(of: UInt8(ascii: "="))
      let nameEnd = equals.map { offset + $0 } ?? end
      name = offset..<nameEnd
      value = (equals == nil ? end : nameEnd + 1)..<end
    }

    func hasName(_ expected: StaticString, in query: Span<UInt8>) -> Bool {
      let written = query.extracting(name)
      if written.firstIndex(ofEither: UInt8(ascii: "%"), or: UInt8(ascii: "+"), from: 0) == written.count {
        return written.equals(expected)
      }
      guard let decoded = PercentEncoding.decoded(written) else { return false }
      return decoded.span.equals(expected)
    }
  }
}

/// Percent-encoding (RFC 3986 2.1), read strictly.
package enum PercentEncoding {
  /// The decoded bytes; `nil` when a `%` is not followed by two hexadecimal digits.
  ///
  /// - Parameter plusIsSpace: `+` is a space in the form encoding of queries, and itself in paths.
  package static func decoded(_ text: Span<UInt8>, plusIsSpace: Bool = true) -> [UInt8]? {
    var result: [UInt8] = []
    result.reserveCapacity(text.count)
    var index = 0
    while index < text.count {
      let byte = text[index]
      if byte == UInt8(ascii: "%") {
        guard index + 2 < text.count, let high = text[index + 1].hexadecimalValue,
          let low = text[index + 2].hexadecimalValue
        else { return nil }
        result.append(UInt8(high << 4 | low))
        index += 3
      } else {
        result.append(plusIsSpace && byte == UInt8(ascii: "+") ? .space : byte)
        index += 1
      }
    }
    return result
  }
}
