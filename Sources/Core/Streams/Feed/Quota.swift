/// How much of something that all share each of them uses: at most a limit in all, and a share for each.
///
/// A holder may exceed its share while fewer than `loan` are taken in all. The rest is for those who have less than a
/// share, so that nobody can use up everything.
package struct Quota<Holder: Hashable> {
  package let limit: Int
  package let share: Int
  package let loan: Int
  package private(set) var count = 0
  /// The most that one holder has.
  package private(set) var largest = 0
  private var holders: [Holder: Int] = [:]
  /// How many holders have that many.
  private var levels: [Int: Int] = [:]

  package init(limit: Int, share: Int, loan: Int = 0) {
    self.limit = limit
    self.share = share
    self.loan = loan
  }

  /// Takes one for `holder`.
  ///
  /// - Returns: false when that would exceed the limit or what `holder` may have; then nothing is taken.
  package mutating func take(for holder: Holder) -> Bool {
    let held = holders[holder] ?? 0
    guard count < limit, held < share || count < loan else { return false }
    move(holder, from: held, to: held + 1)
    largest = max(largest, held + 1)
    count += 1
    return true
  }

  /// Gives back one that `holder` has taken.
  package mutating func giveBack(for holder: Holder) {
    guard let held = holders[holder] else { return }
    move(holder, from: held, to: held - 1)
    // It has become one less itself.
    if held == largest, levels[held] == nil { largest = held - 1 }
    count -= 1
  }

  private mutating func move(_ holder: Holder, from old: Int, to new: Int) {
    if old > 0 {
      let rest = (levels[old] ?? 1) - 1
      levels[old] = rest > 0 ? rest : nil
    }
    if new > 0 { levels[new, default: 0] += 1 }
    holders[holder] = new > 0 ? new : nil
  }

  /// How many `holder` has.
  package func held(by holder: Holder) -> Int { holders[holder] ?? 0 }
}
