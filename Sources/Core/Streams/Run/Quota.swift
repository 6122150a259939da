/// How much of something that all share each of them uses: at most a share each, and at most a limit in all.
package struct Quota<Holder: Hashable> {
  package let limit: Int
  package let share: Int
  package private(set) var count = 0
  private var holders: [Holder: Int] = [:]

  package init(limit: Int, share: Int) {
    self.limit = limit
    self.share = share
  }

  /// Takes one for `holder`.
  ///
  /// - Returns: false when that would exceed its share or the limit; then nothing is taken.
  package mutating func take(for holder: Holder) -> Bool {
    let held = holders[holder] ?? 0
    guard count < limit, held < share else { return false }
    holders[holder] = held + 1
    count += 1
    return true
  }

  /// Gives back one that `holder` has taken.
  package mutating func giveBack(for holder: Holder) {
    guard let held = holders[holder] else { return }
    holders[holder] = held > 1 ? held - 1 : nil
    count -= 1
  }

  /// How many `holder` has.
  package func held(by holder: Holder) -> Int { holders[holder] ?? 0 }
}
