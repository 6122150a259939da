/// The few largest of many, found without sorting all of them.
package struct Largest<Element> {
  private let limit: Int
  private var kept: [(element: Element, rank: Double)] = []
  /// What is lower can't be among the largest any more.
  private var floor = -Double.infinity
  /// How many elements there were in all.
  package private(set) var offered = 0

  /// - Parameter limit: how many are wanted, at least one.
  package init(limit: Int) {
    self.limit = limit
  }

  package mutating func add(_ element: Element, rank: Double) {
    offered += 1
    guard rank > floor else { return }
    kept.append((element, rank))
    // Sorting twice as many as are wanted, once for each so many that come: a few steps for each element.
    if kept.count == 2 * limit { cut() }
  }

  private mutating func cut() {
    kept.sort { $0.rank > $1.rank }
    kept.removeLast(max(0, kept.count - limit))
    if kept.count == limit { floor = kept[limit - 1].rank }
  }

  /// The largest first.
  package consuming func sorted() -> [Element] {
    cut()
    return kept.map(\.element)
  }
}
