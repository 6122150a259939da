/// A decision that several gateways share through a store that may be away, or lose it. The highest number decides.
///
/// Each change gets the number after the highest one that its maker knows. What puts something in force always gets
/// through in the end; what lifts it gives way to what others have put in force meanwhile.
package struct SharedWord: Equatable, Sendable {
  package struct Entry: Equatable, Sendable {
    /// 0 to `SharedWord.limit`; 0 where there never was anything.
    package var number: Int
    /// What is in force; empty for nothing.
    package var text: String

    package init(number: Int = 0, text: String = "") {
      (self.number, self.text) = (number, text)
    }
  }

  /// Numbers above are not made by gateways. Exact as a double, which is what a script of Redis counts with.
  package static let limit = 1 << 50

  /// What the store has, as far as this gateway knows.
  package private(set) var stored: Entry
  /// What was decided here and is not stored yet.
  package private(set) var wish: String?
  private var offered: Entry?

  package init(stored: Entry = Entry(), wish: String? = nil) {
    (self.stored, self.wish) = (stored, wish)
  }

  /// What holds for this gateway.
  package var text: String { wish ?? stored.text }

  /// Decided here. The next offer tells the store.
  package mutating func set(_ text: String) {
    guard text != self.text else { return }
    wish = text
  }

  /// What is written to the store if its number is higher than the store's. Answered by `take` or `fail`.
  package mutating func offer() -> Entry {
    let entry = wish.map { Entry(number: min(stored.number, Self.limit - 1) + 1, text: $0) } ?? stored
    offered = entry
    return entry
  }

  /// The store did not answer. It may have taken the offer all the same.
  package mutating func fail() { offered = nil }

  /// Takes what the store has after an offer.
  ///
  /// - Parameters:
  ///   - isSame: whether two texts mean the same, whoever wrote them.
  ///   - isHarder: whether the first of two texts takes back more. It is weakened only by somebody who knew of it.
  /// - Returns: what another gateway has decided and holds here from now on; `nil` for nothing new.
  package mutating func take(
    _ entry: Entry, isSame: (String, String) -> Bool, isHarder: (String, String) -> Bool = { _, _ in false }
  ) -> String? {
    let ours = offered
    offered = nil
    guard (0...Self.limit).contains(entry.number) else { return nil }
    guard let wish else {
      // A store that has lost its data is told again with the next offer.
      guard entry != stored, entry.number >= stored.number else { return nil }
      if entry.number == stored.number, isHarder(stored.text, entry.text) { self.wish = stored.text }
      stored = entry
      guard self.wish == nil else { return nil }
      return entry.text
    }
    if entry == ours {
      stored = entry
      if entry.text == wish { self.wish = nil }
      return nil
    }
    guard entry.number >= stored.number else { return nil }
    let isNew = entry != stored
    stored = entry
    if isSame(entry.text, wish) {
      self.wish = nil
      return nil
    }
    guard isNew, wish.isEmpty ? !entry.text.isEmpty : isHarder(entry.text, wish) else { return nil }
    self.wish = nil
    return entry.text
  }
}
