package import Streams

/// What those who have a run tell the others of it beside its events: its owner how far it is, all how many read it.
package struct RunStatus: Equatable, Sendable {
  package enum Phase: String, Sendable { case opening, running, ended }

  /// What only the run's owner knows.
  package struct Progress: Equatable, Sendable {
    package var phase: Phase
    /// Backends asked so far.
    package var attempts: Int
    /// From the run's beginning to its end, once it has ended.
    package var milliseconds: Int?

    package init(phase: Phase, attempts: Int, milliseconds: Int? = nil) {
      self.phase = phase
      self.attempts = attempts
      self.milliseconds = milliseconds
    }
  }

  /// `nil` from somebody who only reads it, and where no owner has told anything.
  package var progress: Progress?
  package var readers: Int
  /// What the last reader that said so wants to become of the run when nobody reads it; only as read from the store.
  package var wish: DisconnectPolicy?

  package init(progress: Progress? = nil, readers: Int = 0) {
    self.progress = progress
    self.readers = readers
  }
}

/// How a run stands beyond what `RunStore.lookup` tells.
package struct RunStanding: Equatable, Sendable {
  package var status: RunStatus
  /// Entries of its log in the store.
  package var entries: UInt64

  package init(status: RunStatus = RunStatus(), entries: UInt64 = 0) {
    self.status = status
    self.entries = entries
  }
}
