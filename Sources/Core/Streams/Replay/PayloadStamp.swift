package import Bytes
package import SSE

/// Adds `"streamId"` and `"index"` to events whose payload is a JSON object, by putting them behind its brace: the rest of
/// the payload stays byte for byte what it was.
package struct PayloadStamp: Sendable {
  private let stream: StreamID

  package init(stream: StreamID) {
    self.stream = stream
  }

  /// Writes the block of `event` with the stamp, or as it is when its payload is no whole object or has the members.
  package func write(_ event: Event, _ bytes: Span<UInt8>, index: UInt64, to out: inout ByteBuffer) {
    let payload = bytes.extracting(event.data.lowerBound..<event.blankLine)
    guard event.isDispatched, let object = TopLevel(payload), !object.hasStream || !object.hasIndex else {
      return out.append(bytes.extracting(event.range))
    }
    let split = event.data.lowerBound + object.firstMember
    out.append(bytes.extracting(event.range.lowerBound..<split))
    if !object.hasStream {
      out.append("\"streamId\":\"")
      stream.write(to: &out)
      out.append("\",")
    }
    if !object.hasIndex {
      out.append("\"index\":")
      out.append(decimal: index)
      if !object.isEmpty { out.append(UInt8(ascii: ",")) }
    }
    out.append(bytes.extracting(split..<event.range.upperBound))
  }

  /// What must be known of an object before something is put into it.
  private struct TopLevel {
    /// Behind the brace that opens it.
    private(set) var firstMember = 0
    private(set) var isEmpty = true
    private(set) var hasStream = false
    private(set) var hasIndex = false

    /// `nil` unless the payload is one object with its braces and quotes in order.
    ///
    /// - Parameter payload: from the first line of data on, as it stands in its block.
    init?(_ payload: Span<UInt8>) {
      var (depth, index) = (0, 0)
      var isClosed = false
      while index < payload.count {
        let byte = payload[index]
        index += 1
        switch byte {
        case 0x20, 0x09: continue
        case 0x0A, 0x0D:
          index = payload.nextData(from: index)
          continue
        case _ where isClosed, _ where depth == 0 && byte != UInt8(ascii: "{"): return nil
        case UInt8(ascii: "{"), UInt8(ascii: "["):
          if depth == 0 { firstMember = index } else { isEmpty = false }
          depth += 1
        case UInt8(ascii: "}"), UInt8(ascii: "]"):
          depth -= 1
          if depth == 0, byte == UInt8(ascii: "]") { return nil }
          isClosed = depth == 0
        case UInt8(ascii: "\""):
          guard let end = payload.endOfString(from: index) else { return nil }
          isEmpty = false
          if depth == 1 { note(payload.extracting(index..<end), behind: payload.extracting(droppingFirst: end + 1)) }
          index = end + 1
        default: isEmpty = false
        }
      }
      if !isClosed { return nil }
    }

    private mutating func note(_ name: Span<UInt8>, behind rest: Span<UInt8>) {
      guard rest.trimmed.hasPrefix(":") else { return }
      if name.equals("streamId") { hasStream = true }
      if name.equals("index") { hasIndex = true }
    }
  }
}

extension Span<UInt8> {
  /// Where the value of the next line of data begins, behind a line that ended before `start`; the end when there is none.
  fileprivate func nextData(from start: Int) -> Int {
    var index = start
    while index < count {
      if extracting(droppingFirst: index).hasPrefix("data:") { return index + 5 }
      index = firstIndex(ofEither: 0x0A, or: 0x0D, from: index) + 1
    }
    return count
  }

  /// The position of the quote that ends the string whose first character is at `start`. A line break in it means that it
  /// is none.
  fileprivate func endOfString(from start: Int) -> Int? {
    var index = start
    while index < count {
      switch self[index] {
      case UInt8(ascii: "\""): return index
      case UInt8(ascii: "\\"): index += 2
      case 0x0A, 0x0D: return nil
      default: index += 1
      }
    }
    return nil
  }
}
