import Configuration
import Runs
import Streams
import Telemetry

// What a log's store does by itself; a log in memory does nothing.
extension Run: EventLogObserver {
  private static let storeIsAway = TimeLimit.storePatience.ending("the store of runs can't be reached")

  /// What is wrong with the store, for people.
  var storeFault: String { notice?.store.fault ?? "" }

  /// Whether its events can still be read when this process is gone.
  var outlivesProcess: Bool {
    switch settings.source {
    // What was published on a channel is kept nowhere else.
    case .pubsub where home == .aWorker, .bullmq where home == .aWorker: false
    default: isShared
    }
  }

  /// The same for the copy of a run that is written elsewhere: whether it goes on there can't be known.
  func storeLostForReaders() {
    host.noteStoreLoss(of: self)
    isDegraded = true
    for reader in readers { reader.finish(.gatewayError, reason: Self.storeIsAway) }
  }

  func frontierMoved() {
    readersAdvance()
    if isOver { tellReplicas() }
    ownership?.logMoved()
  }

  func storeLost() {
    host.noteStoreLoss(of: self)
    isDegraded = true
    switch settings.whenStoreFails {
    case .degrade: ownership?.log.goOnWithoutStore()
    case .refuse:
      ownership?.log.endReaders(.gatewayError, reason: Self.storeIsAway)
      end(.gatewayError, reason: Self.storeIsAway)
    }
    readersAdvance()
  }

  func storeRecovered() {
    host.noteStoreRecovery(of: self)
    isDegraded = false
  }

  func ownershipLost() {
    // It goes on without the store: that others have ended it there changes nothing for its readers.
    if isDegraded, settings.whenStoreFails == .degrade { return }
    end(.gatewayError, reason: EndReason.otherGatewayEnded.text)
    // Its own end may have been on its way.
    readersAdvance()
    ownership?.logMoved()
  }
}
