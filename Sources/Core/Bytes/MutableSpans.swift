extension MutableSpan where Element == UInt8 {
  /// Copies the bytes at `source` to `destination`; the two places may overlap. Both must lie inside the span.
  package mutating func move(_ source: Range<Int>, to destination: Int) {
    precondition(source.lowerBound >= 0 && source.upperBound <= count)
    precondition(destination >= 0 && destination <= count - source.count)
    guard !source.isEmpty, source.lowerBound != destination else { return }
    unsafe withUnsafeMutableBufferPointer { bytes in
      guard let base = bytes.baseAddress else { return }
      unsafe (base + destination).update(from: base + source.lowerBound, count: source.count)
    }
  }
}
