package import Configuration
package import Runs
import Streams
import Synchronization

/// What the runs of all loops share: who they are, and what memory they may hold.
package final class ProcessRuns: Sendable {
  let index = RunIndex()
  let budget: RunBudget
  /// The same memory, by principals.
  let memories: PrincipalMemories
  /// For the bodies of requests that are kept.
  let bodies: RunBudget
  /// Runs that go on though nobody reads them.
  let unread: UnreadRuns
  /// Runs of which Redis keeps something.
  let stored: StoredRuns
  /// Of the hashes of clients' identities that the census counts by.
  let identitySeed: UInt64
  /// How often a client has taken its own name for its stream.
  private let takes = Atomic<UInt64>(0)
  private let standings = Mutex<[Int: StoreStanding]>([:])
  private let connections = Mutex<[StoreConnection: String?]>([:])

  package init(_ configuration: Configuration, identitySeed: UInt64) {
    self.identitySeed = identitySeed
    budget = RunBudget(limit: configuration.runs.memory)
    memories = PrincipalMemories(budget, percent: configuration.runs.memoryShare)
    bodies = RunBudget(limit: configuration.limits.bodies)
    unread = UnreadRuns(limit: configuration.runs.unread, share: configuration.runs.unreadPerPrincipal)
    stored = StoredRuns(limit: configuration.runs.stored, share: configuration.runs.storedPerPrincipal)
  }

  /// A number for a reader that takes its client's own name for its stream: higher than that of each that came before, on
  /// whatever loop.
  func nextTake() -> UInt64 { takes.add(1, ordering: .relaxed).newValue }

  /// Bytes that the runs of all loops hold.
  package var memoryInUse: Int { budget.used }

  /// Memory that the requests' bodies that are kept take together, on all loops.
  package var bodiesInUse: Int { bodies.used }

  /// Notes whether a loop has the store that all replicas share.
  func note(_ standing: StoreStanding, of index: Int) { standings.withLock { $0[index] = standing } }

  /// Notes what is wrong with a connection that a loop wants; `nil`: nothing.
  func note(_ fault: String?, of connection: StoreConnection) {
    connections.withLock { $0[connection] = .some(fault) }
  }

  func forget(_ connection: StoreConnection) {
    connections.withLock { $0[connection] = nil }
  }

  /// The servers of the store, by name, each with what is wrong with some loop's connection.
  package var servers: [(name: String, fault: String?)] {
    let known = connections.withLock { Dictionary(grouping: $0, by: \.key.server) }
    return known.sorted { $0.key < $1.key }.map { name, connections in
      let faults = connections.sorted { $0.key < $1.key }.compactMap(\.value)
      return (name, faults.first)
    }
  }

  /// Whether all loops that want the store have it: the first of them that has not says why.
  package var store: StoreStanding {
    standings.withLock { standings in
      let known = standings.sorted { $0.key < $1.key }.map(\.value)
      return known.first { $0.fault != nil } ?? (known.contains(.connected) ? .connected : .unknown)
    }
  }
}
