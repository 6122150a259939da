package import Time

/// A quota of things that outlive their use: each is given back when its time has come.
///
/// Times are rounded up to ten seconds, so that one entry stands for all that a holder gives back in such a span.
package struct TimedQuota<Holder: Hashable> {
  private struct Span {
    let number: Int64
    var holders: [Holder: Int] = [:]
  }

  private static var spanLength: Nanoseconds { .seconds(10) }
  /// Given back when one is taken, at most.
  private static var mostAtOnce: Int { 64 }

  private var quota: Quota<Holder>
  /// In the order of time.
  private var spans: [Span] = []

  package init(_ quota: Quota<Holder>) { self.quota = quota }

  package var count: Int { quota.count }
  package var limit: Int { quota.limit }
  package var share: Int { quota.share }
  /// The most that one holder has.
  package var largest: Int { quota.largest }

  /// Takes one for `holder`, after a part of what is due was given back.
  ///
  /// - Returns: false when that would exceed the limit or what `holder` may have.
  package mutating func take(for holder: Holder, at now: MonotonicTime) -> Bool {
    giveBackDue(at: now, atMost: Self.mostAtOnce)
    return quota.take(for: holder)
  }

  /// Gives back one that `holder` has taken.
  package mutating func giveBack(for holder: Holder) { quota.giveBack(for: holder) }

  /// Gives it back when `due` has come.
  package mutating func giveBack(for holder: Holder, at due: MonotonicTime) {
    let number = Self.number(due) + 1
    if let last = spans.indices.last, spans[last].number >= number {
      // Not later than what was given back before, or in the same span.
      spans[last].holders[holder, default: 0] += 1
    } else {
      spans.append(Span(number: number, holders: [holder: 1]))
    }
  }

  /// Gives back what is due, at most `most`.
  package mutating func giveBackDue(at now: MonotonicTime, atMost most: Int) {
    var left = most
    while left > 0, let first = spans.first, first.number <= Self.number(now) {
      guard let (holder, count) = first.holders.first else {
        spans.removeFirst()
        continue
      }
      let part = min(count, left)
      for _ in 0..<part { quota.giveBack(for: holder) }
      spans[0].holders[holder] = count > part ? count - part : nil
      left -= part
    }
  }

  private static func number(_ time: MonotonicTime) -> Int64 {
    Int64(clamping: time.nanoseconds) / spanLength.value
  }
}
