import Configuration
import Runs
import SSE
import Streams
import Synchronization
import Telemetry

/// Which run this is, to those who may ask for it.
struct RunIdentity: Sendable {
  let stream: StreamID
  /// Who opened it; to anybody else it does not exist.
  let principal: Digest
  /// What was asked for; `nil` when the request's body was not looked at.
  var request: Digest?
  /// Other names under which it can be found: an idempotency key, a name from its path, the client's own.
  var aliases: [Digest] = []
  /// The trace of the request that opened it, where that is recorded.
  var trace: TraceContext?
}

/// Where a run lives.
struct RunPlace: Sendable {
  let worker: Int
  let identity: RunIdentity
  let route: Route
  let settings: RunSettings

  var indexed: RunAdmission.IndexedRun {
    RunAdmission.IndexedRun(stream: identity.stream, request: identity.request)
  }
}

/// The runs of this process by their names. Asked when a stream opens, is looked for or ends, never for an event.
final class RunIndex: Sendable {
  private struct Table {
    var places: [StreamID: RunPlace] = [:]
    var aliases: [Digest: StreamID] = [:]
    /// Runs that this gateway has ended for a reason of its own: a request under their key may start another.
    var failed: Set<StreamID> = []

    /// The run under a name, unless it has failed.
    func place(of alias: Digest) -> RunPlace? {
      aliases[alias].flatMap { failed.contains($0) ? nil : places[$0] }
    }
  }

  private let table = Mutex(Table())

  /// Enters a run, unless `key` names one already.
  ///
  /// - Returns: the run that was there first.
  func claim(_ place: RunPlace, unlessTaken key: Digest?) -> RunPlace? {
    let identity = place.identity
    return table.withLock { table in
      if let key, let place = table.place(of: key) { return place }
      table.places[identity.stream] = place
      for alias in identity.aliases { table.aliases[alias] = identity.stream }
      return nil
    }
  }

  func find(_ stream: StreamID, of principal: Digest) -> RunPlace? {
    table.withLock { table in
      guard let place = table.places[stream], place.identity.principal == principal else { return nil }
      return place
    }
  }

  /// Aliases are hashes over the principal too.
  ///
  /// - Parameter startsAnew: the request would rather start another run than read one that has failed.
  func find(alias: Digest, startsAnew: Bool = false) -> RunPlace? {
    table.withLock { table in
      startsAnew ? table.place(of: alias) : table.aliases[alias].flatMap { table.places[$0] }
    }
  }

  /// The gateway has ended the run for a reason of its own.
  func noteFailure(of stream: StreamID) {
    table.withLock { table in
      if table.places[stream] != nil { table.failed.insert(stream) }
    }
  }

  func hasFailed(_ stream: StreamID) -> Bool { table.withLock { $0.failed.contains(stream) } }

  func remove(_ identity: RunIdentity) {
    table.withLock { table in
      table.places[identity.stream] = nil
      table.failed.remove(identity.stream)
      // Another run may have taken a name over.
      for alias in identity.aliases where table.aliases[alias] == identity.stream { table.aliases[alias] = nil }
    }
  }

  /// The runs that live on a loop.
  func streams(on worker: Int) -> [StreamID] {
    table.withLock { table in table.places.values.filter { $0.worker == worker }.map(\.identity.stream) }
  }

  var count: Int { table.withLock { $0.places.count } }
}
