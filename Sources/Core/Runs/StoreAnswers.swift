package import Streams
package import Time

/// Why a store has no answer.
package struct StoreFault: Error, Equatable, Sendable {
  /// For people; never holds a secret.
  package let reason: String

  package init(_ reason: String) { self.reason = reason }
}

/// Whether a loop has its store.
package enum StoreStanding: Equatable, Sendable {
  /// No run is kept there, or the first try is not over.
  case unknown
  case connected
  case away(reason: String)

  package var fault: String? {
    if case .away(let reason) = self { return reason }
    return nil
  }
}

/// Whose a run is that was claimed.
package enum RunClaim: Equatable, Sendable {
  case mine
  /// There is such a run; `nil` when a worker has begun it and no gateway knows it yet.
  case others(RunMeta?)
}

/// Whose a key is that was claimed.
package enum KeyClaim: Equatable, Sendable {
  case mine
  /// This run was started under the key, by this request.
  case attach(RunID, request: Digest)
  /// Nobody holds the key, but the store may have lost that somebody does. To be asked again after this time.
  case wait(Nanoseconds)
}

/// What was last read under a client's own name for its stream.
package struct ClientStreamUse: Equatable, Sendable {
  package var run: RunID
  /// What the run was asked for with; `nil` when that was not looked at.
  package var request: Digest?

  package init(run: RunID, request: Digest? = nil) {
    self.run = run
    self.request = request
  }
}
