package import Runs
package import SSE
package import Streams

/// The names of everything in Redis.
package struct RunKeys: Equatable, Sendable {
  package let prefix: String
  package let usesHashTags: Bool

  package init(prefix: String = "ai:", usesHashTags: Bool = false) {
    self.prefix = prefix
    self.usesHashTags = usesHashTags
  }

  /// A stream: the run's events, with its end record as the last entry.
  package func events(of run: RunID) -> String { key(of: run, "events") }
  /// The channel on which each entry of a gateway's run is told when it has been stored.
  package func news(of run: RunID) -> String { key(of: run, "news") }
  /// The channel on which a run's news are named that may not have been heard, because the run's slot of a cluster is moving.
  package var unheardNews: String { "\(prefix)run:unheard" }
  /// Set when somebody wants the run to stop.
  package func cancel(of run: RunID) -> String { key(of: run, "cancel") }
  /// Which gateway's loop owns the run (`RunOwner`).
  package func owner(of run: RunID) -> String { key(of: run, "owner") }
  /// There as long as that loop is: the lease of all that it holds (`GatewayLease`).
  package func gateway(_ place: String) -> String { "\(prefix)gateway:\(place)" }
  /// A hash: what is known of the run beside its events.
  package func meta(of run: RunID) -> String { key(of: run, "meta") }
  /// What the scripts name that are about who owns the run: owner, meta, events.
  func ofOwner(of run: RunID) -> [String] { [owner(of: run), meta(of: run), events(of: run)] }
  /// A hash: how the run stands, beside its events.
  package func state(of run: RunID) -> String { key(of: run, "state") }
  /// The worker's run that is read as that stream.
  package func stream(_ stream: StreamID) -> String { "\(prefix)stream:\(stream.description)" }
  /// The last use of a client's own name for its stream.
  package func clientStream(of name: Digest) -> String { "\(prefix)client:\(name.description)" }
  /// The channel on which it is told that a client has opened its stream anew.
  package var clientChannel: String { "\(prefix)client" }
  /// The run that an idempotency key started.
  package func idempotency(of key: Digest) -> String { "\(prefix)idem:\(key.description)" }
  /// Which life of Redis's data this is (`StoreLife`).
  package var epoch: String { "\(prefix)epoch" }
  /// The channel on which it is told that some run's `cancel` was set.
  package var cancelChannel: String { "\(prefix)run:cancel" }

  private func key(of run: RunID, _ part: StaticString) -> String {
    usesHashTags ? "\(prefix)run:{\(run)}:\(part)" : "\(prefix)run:\(run):\(part)"
  }
}
