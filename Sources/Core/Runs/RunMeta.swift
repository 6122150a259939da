package import SSE
package import Streams
package import Time

/// Who writes a run's events.
package enum RunWriter: String, Sendable {
  /// The gateway that holds the run's lease, with ids of its own making.
  case gateway
  /// A worker beside the gateway, with ids of the store's making.
  case worker
}

/// What all replicas know of a run beside its events.
package struct RunMeta: Equatable, Sendable {
  /// Who may read it.
  package var principal: Digest
  /// The stream's id that its events' ids carry: the same on every replica.
  package var stream: StreamID
  package var created: WallTime
  /// The backend's `Content-Type`; empty when it is not known.
  package var contentType: String
  package var source: RunWriter
  /// The name of the route that it was opened on; empty when it is not known.
  package var route: String

  package init(
    principal: Digest, stream: StreamID, created: WallTime, contentType: String = "", source: RunWriter = .gateway,
    route: String = ""
  ) {
    self.principal = principal
    self.stream = stream
    self.created = created
    self.contentType = contentType
    self.source = source
    self.route = route
  }
}

/// Everything that the store tells of a run at one moment.
package struct RunState: Equatable, Sendable {
  package var meta: RunMeta?
  /// Some gateway holds the run's lease.
  package var isOwned = false
  package var isCancelled = false
  /// The last entry of its events; `nil` when there is none.
  package var last: EntryID?
  /// How it ended, if its last entry says so.
  package var end: EndRecord?

  package init() {}

  /// Whether there is anything at all.
  package var exists: Bool { meta != nil || isOwned || last != nil }
}
