extension ByteBuffer {
  /// Appends `number` in decimal.
  package mutating func append(decimal number: UInt64) {
    if number < 10 { return append(0x30 | UInt8(truncatingIfNeeded: number)) }
    append(digitsOf: number, radix: 10)
  }

  package mutating func append(decimal number: Int) {
    if number < 0 { append(UInt8(ascii: "-")) }
    append(decimal: UInt64(number.magnitude))
  }

  package mutating func append(decimal number: some FixedWidthInteger) {
    if number < 0 { append(UInt8(ascii: "-")) }
    append(digitsOf: UInt64(number.magnitude), radix: 10)
  }

  /// Appends `number`, which is not negative, in lower-case hexadecimal without leading zeros.
  package mutating func append(hexadecimal number: Int) {
    append(digitsOf: UInt64(number.magnitude), radix: 16)
  }

  // Inlined, so that the radix is a constant and no division is left.
  @inline(__always)
  private mutating func append(digitsOf number: UInt64, radix: UInt64) {
    var count = 1
    var rest = number
    while rest >= radix {
      rest /= radix
      count += 1
    }
    append(count: count) { digits in
      var rest = number
      var place = count
      while place > 0 {
        place &-= 1
        let digit = UInt8(truncatingIfNeeded: rest % radix)
        digits[place] = digit < 10 ? 0x30 &+ digit : 0x57 &+ digit
        rest /= radix
      }
    }
  }
}
