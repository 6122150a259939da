import Bytes

/// An open-addressed table of the known names, filled once. Names are hashed and compared eight bytes at a time, without
/// regard to case.
///
/// The hash need not resist attack: the table is fixed, and a hit is compared with the whole name.
struct KnownFieldTable: Sendable {
  static let shared = KnownFieldTable()

  private static let slotBits = 9
  private static let vacant: UInt8 = 0xFF
  private var slots = [UInt8](repeating: vacant, count: 1 << slotBits)
  /// In the order of the cases.
  private var names: [Name] = []

  /// A known name in lower case, in words that overlap where its length is no multiple of eight.
  private struct Name {
    let length: Int
    let first: UInt64
    let second: UInt64
    let third: UInt64
    let last: UInt64

    init(_ name: Span<UInt8>) {
      precondition(KnownFieldTable.lengths.contains(name.count), "a known name is too long or too short for its words")
      length = name.count
      (first, last) = name.endWords
      second = length > 16 ? name.word(at: 8) : 0
      third = length > 24 ? name.word(at: 16) : 0
    }

    /// Whether `name` is this one; `first` and `last` are its words.
    func isSame(as name: Span<UInt8>, _ first: UInt64, _ last: UInt64) -> Bool {
      length == name.count && Self.isSame(first, self.first) && Self.isSame(last, self.last)
        && (length <= 16 || Self.isSame(name.word(at: 8), second))
        && (length <= 24 || Self.isSame(name.word(at: 16), third))
    }

    /// Whether a word is `lower` but for the case of its letters, which are the bytes of `lower` with the bit 0x40.
    private static func isSame(_ word: UInt64, _ lower: UInt64) -> Bool {
      (word ^ lower) & ~((lower & 0x4040_4040_4040_4040) >> 1) == 0
    }
  }

  /// The lengths that a name may have to be told by four words.
  private static let lengths = 2...32

  private init() {
    for field in KnownField.allCases {
      let name = [UInt8](lowercasing: field.name)
      names.append(Name(name.span))
      let (first, last) = name.span.endWords
      var slot = Self.slot(first, last)
      while slots[slot] != Self.vacant { slot = (slot + 1) % slots.count }
      slots[slot] = field.rawValue
    }
  }

  /// The field whose name this is, in any case.
  func find(_ name: Span<UInt8>) -> KnownField? {
    guard Self.lengths.contains(name.count) else { return nil }
    let (first, last) = name.endWords
    var slot = Self.slot(first, last)
    while slots[slot] != Self.vacant {
      if names[Int(slots[slot])].isSame(as: name, first, last) { return KnownField(rawValue: slots[slot]) }
      slot = (slot + 1) % slots.count
    }
    return nil
  }

  private static func slot(_ first: UInt64, _ last: UInt64) -> Int {
    // Folds more than letters, which is right for a hash: equal names still hash alike.
    let folded = (first | 0x2020_2020_2020_2020) ^ (last | 0x2020_2020_2020_2020) &* 0xC2B2_AE3D_27D4_EB4F
    return Int(truncatingIfNeeded: (folded &* 0x9E37_79B9_7F4A_7C15) >> UInt64(64 - slotBits))
  }
}

extension Span where Element == UInt8 {
  /// The first and the last eight of at least two bytes. Fewer than eight are one word, with both the same.
  @inline(__always)
  fileprivate var endWords: (first: UInt64, last: UInt64) {
    if count >= 8 { return (word(at: 0), word(at: count - 8)) }
    var word: UInt64 = 0
    var index = 0
    while index < count {
      word |= UInt64(self[index]) << UInt64(8 * index)
      index += 1
    }
    return (word, word)
  }
}

extension [UInt8] {
  fileprivate init(lowercasing text: StaticString) {
    self = unsafe UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount).map(\.asciiLowercased)
  }
}
