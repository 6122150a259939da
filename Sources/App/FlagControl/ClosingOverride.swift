package import Streams

/// What holds on every worker whatever the flag file says.
package struct ClosingOverride: Equatable, Sendable {
  /// The guard has taken the new closing back.
  package var isRolledBack = false
  /// An operator has, by `POST /kill`.
  package var kill = Recall.none

  package init(isRolledBack: Bool = false, kill: Recall = .none) {
    self.isRolledBack = isRolledBack
    self.kill = kill
  }

  /// Whether every new stream is legacy.
  package var isLegacy: Bool { isRolledBack || kill != .none }

  /// What that means for the streams that are open.
  package var recall: Recall { max(kill, isRolledBack ? .announced : .none) }
}
