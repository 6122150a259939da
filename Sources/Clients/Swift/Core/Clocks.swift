/// The timers of one stream, as time stamps in seconds. One timer of the shell is enough for all.
struct Clocks {
  enum Name: Hashable, Sendable { case pause, head, refusal, dead, end, late, order, cancel, total }

  private static let silence: Set<Name> = [.head, .dead, .end, .late, .refusal, .order]
  private static let graced: Set<Name> = [.head, .dead, .end]
  private static let lateness = 2.0
  private static let grace = 5.0

  private var at: [Name: Double] = [:]
  private var isGraced = false
  private var fullSince: Double?

  mutating func set(_ name: Name, _ time: Double) { at[name] = time }

  mutating func clear(_ names: Name...) {
    for name in names { at[name] = nil }
  }

  func has(_ name: Name) -> Bool { at[name] != nil }

  /// A byte came: the next late timer gets its grace again.
  mutating func signOfLife() { isGraced = false }

  /// When `due` must be called next.
  var deadline: Double? {
    at.filter { fullSince == nil || !Self.silence.contains($0.key) }.values.min()
  }

  /// The consumer's queue is full: its time is not the server's silence.
  mutating func pause(_ now: Double) {
    if fullSince == nil { fullSince = now }
  }

  /// The queue has room again.
  mutating func goOn(_ now: Double) {
    guard let since = fullSince else { return }
    fullSince = nil
    for name in Self.silence {
      if let time = at[name] { at[name] = time + (now - since) }
    }
  }

  /// The deadlines that have passed, which are removed. A timer that fires late may get a grace first.
  mutating func due(_ now: Double) -> [Name] {
    let passed = at.filter { $0.value <= now && (fullSince == nil || !Self.silence.contains($0.key)) }
    var names: [Name] = []
    for (name, time) in passed.sorted(by: { $0.value < $1.value }) {
      // The process slept: the bytes that came meanwhile are read first.
      if Self.graced.contains(name), now - time > Self.lateness, !isGraced {
        isGraced = true
        at[name] = now + Self.grace
        continue
      }
      at[name] = nil
      names.append(name)
    }
    return names
  }
}

/// How long silence may last before a connection counts as dead.
package struct DeadRule {
  private let timeout: DeadTimeout
  private var lastComment: Double?
  private var gap = 0.0

  package init(_ timeout: DeadTimeout) { self.timeout = timeout }

  /// A new response begins: the time until its first comment is no gap.
  mutating func response() { lastComment = nil }

  package mutating func comment(_ now: Double) {
    if let lastComment { gap = max(gap, now - lastComment) }
    lastComment = now
  }

  /// The seconds that are allowed now; nil for no limit.
  package func seconds(graceful: Bool) -> Double? {
    switch timeout {
    case .off: nil
    case .after(let duration): duration.inSeconds
    case .automatic: gap > 0 ? min(max(30, 2.5 * gap), 120) : graceful ? 45 : nil
    }
  }
}
