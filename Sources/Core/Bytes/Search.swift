extension Span where Element == UInt8 {
  /// The position of the first `byte` at or after `offset`, or `nil`.
  package func firstIndex(of byte: UInt8, from offset: Int = 0) -> Int? {
    let found = firstIndex(ofEither: byte, or: byte, from: offset)
    return found < count ? found : nil
  }

  /// The position of the first byte at or after `offset` that is `first` or `second`; `count` when there is none.
  ///
  /// 32 bytes at a time: event streams are mostly short lines, where a call into the C library costs
  /// more than the search.
  package func firstIndex(ofEither first: UInt8, or second: UInt8, from offset: Int) -> Int {
    precondition(offset >= 0 && offset <= count)
    return unsafe withUnsafeBufferPointer { bytes in
      guard let base = bytes.baseAddress else { return 0 }
      let raw = unsafe UnsafeRawPointer(base)
      let end = bytes.count
      var index = offset
      let (wantFirst, wantSecond) = (SIMD32<UInt8>(repeating: first), SIMD32<UInt8>(repeating: second))
      // The last block overlaps the one before it, so that nothing is left over.
      let last = end &- 32
      while index <= last {
        let block = unsafe raw.loadUnaligned(fromByteOffset: index, as: SIMD32<UInt8>.self)
        let hits = (block .== wantFirst) .| (block .== wantSecond)
        let place = firstHit(hits)
        if place < 32 { return index &+ place }
        if index == last { return end }
        index = min(index &+ 32, last)
      }
      while index + 8 <= end {
        let block = unsafe raw.loadUnaligned(fromByteOffset: index, as: SIMD8<UInt8>.self)
        let matches = (block .== wantFirst.lowHalf.lowHalf) .| (block .== wantSecond.lowHalf.lowHalf)
        let hits = unsafe unsafeBitCast(matches, to: UInt64.self)
        if hits != 0 { return index + UInt64(littleEndian: hits).trailingZeroBitCount / 8 }
        index += 8
      }
      while index < end, unsafe bytes[index] != first && bytes[index] != second { index += 1 }
      return index
    }
  }

  /// Where the list element that begins at `offset` ends: at the first `separator` outside a quoted string (RFC 9110,
  /// 5.6.4), or at the end.
  package func endOfElement(from offset: Int, separator: UInt8) -> Int {
    var index = offset
    var isQuoted = false
    while index < count {
      let byte = self[index]
      if byte == UInt8(ascii: "\"") {
        isQuoted.toggle()
      } else if isQuoted, byte == UInt8(ascii: "\\") {
        index += 1
      } else if !isQuoted, byte == separator {
        return index
      }
      index += 1
    }
    return count
  }

  /// The position of the first `lead` at or after `offset` that `first` or `second` follows; `count` when there is none.
  package func firstIndex(of lead: UInt8, before first: UInt8, or second: UInt8, from offset: Int) -> Int {
    precondition(offset >= 0 && offset <= count)
    return unsafe withUnsafeBufferPointer { bytes in
      guard let base = bytes.baseAddress else { return 0 }
      let raw = unsafe UnsafeRawPointer(base)
      let end = bytes.count
      var index = offset
      let wantLead = SIMD32<UInt8>(repeating: lead)
      let (wantFirst, wantSecond) = (SIMD32<UInt8>(repeating: first), SIMD32<UInt8>(repeating: second))
      let last = end &- 33
      while index <= last {
        let block = unsafe raw.loadUnaligned(fromByteOffset: index, as: SIMD32<UInt8>.self)
        let next = unsafe raw.loadUnaligned(fromByteOffset: index &+ 1, as: SIMD32<UInt8>.self)
        let hits = (block .== wantLead) .& ((next .== wantFirst) .| (next .== wantSecond))
        let place = firstHit(hits)
        if place < 32 { return index &+ place }
        if index == last { return end }
        index = min(index &+ 32, last)
      }
      while index + 1 < end {
        if unsafe bytes[index] == lead, unsafe bytes[index + 1] == first || bytes[index + 1] == second { return index }
        index += 1
      }
      return end
    }
  }

  /// The position where `needle` first stands at or after `offset`, or `nil`.
  package func firstRange(of needle: StaticString, from offset: Int = 0) -> Int? {
    let length = needle.utf8CodeUnitCount
    guard length > 0 else { return offset }
    var index = offset
    while index + length <= count {
      guard let hit = firstIndex(of: unsafe needle.utf8Start[0], from: index), hit + length <= count else { return nil }
      if extracting(droppingFirst: hit).hasPrefix(needle) { return hit }
      index = hit + 1
    }
    return nil
  }
}

/// The first lane of a comparison that is true; 32 when none is.
@inline(__always)
private func firstHit(_ hits: SIMDMask<SIMD32<Int8>>) -> Int {
  // A true lane is a byte of ones, so the lowest bit of the first word that has one tells the place.
  let words = unsafe unsafeBitCast(hits, to: SIMD4<UInt64>.self)
  if words[0] | words[1] | words[2] | words[3] == 0 { return 32 }
  var place = 0
  while words[place] == 0 { place += 1 }
  return place * 8 + UInt64(littleEndian: words[place]).trailingZeroBitCount / 8
}
