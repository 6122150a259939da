package import SSE
package import Streams
package import Time

/// What a store of runs does for one event loop of a gateway: it tells all replicas whose a run is, who may read it, what
/// is in it and whether it is to stop. docs/architecture.md says under "A store of runs" what each store must promise.
///
/// Confined to the loop's thread. Completions and handlers are called from the loop after the call has returned, never
/// from inside it; each completion is called once.
package protocol RunStore: AnyObject {
  var connection: StoreStanding { get }
  /// Why it can't be used or does not do what it is asked, for people. Never holds a secret.
  var fault: String { get }
  /// How long a run stays its owner's that does not renew it.
  var lease: Nanoseconds { get }
  /// How long what is known of a run is kept after it was last written.
  var timeToLive: Nanoseconds { get }

  // MARK: - What is known

  func lookup(_ run: RunID, _ completion: @escaping (Result<RunState, StoreFault>) -> Void)
  func standing(of run: RunID, _ completion: @escaping (Result<RunStanding, StoreFault>) -> Void)
  /// The run that was started under a key with `claimKey`; `nil` when there is none.
  func find(key: Digest, _ completion: @escaping (Result<RunID?, StoreFault>) -> Void)
  /// The worker's run whose stream that is (`nameStream`); `nil` when there is none.
  func find(stream: StreamID, _ completion: @escaping (Result<RunID?, StoreFault>) -> Void)
  /// What a client has last read under its own name for its stream; `nil` when nothing is known of it.
  func find(clientStream: Digest, _ completion: @escaping (Result<ClientStreamUse?, StoreFault>) -> Void)
  /// For how long what others hold may be missing, because the store has lost data a moment ago; zero when it has not.
  func remainingWait(_ completion: @escaping (Result<Nanoseconds, StoreFault>) -> Void)

  // MARK: - Runs of this gateway's

  /// Makes a run the caller's until its lease is over, unless there is one of that name.
  ///
  /// - Parameter token: tells this owner from all others.
  func claim(
    _ run: RunID, token: StreamID, meta: RunMeta, _ completion: @escaping (Result<RunClaim, StoreFault>) -> Void)
  /// Notes that `run` is started by `request` under a key, unless another run was before. Forgotten after a lease, unless
  /// the run is held by then (`hold`): a gateway that dies in between must not keep the key.
  func claimKey(
    _ key: Digest, run: RunID, request: Digest, _ completion: @escaping (Result<KeyClaim, StoreFault>) -> Void)
  /// Takes `claimKey` back, for a run that could not be started: a repeat may try again.
  func releaseKey(_ key: Digest, run: RunID, request: Digest)
  /// Keeps a claimed run its owner's until the tenure is given up.
  ///
  /// - Parameter lost: called once, when another has taken the run or ended it.
  func hold(_ title: RunTitle, lost: @escaping () -> Void) -> any RunTenure
  /// The log that a claimed run's owner writes.
  ///
  /// - Parameter memory: empty; holds what this process keeps of the log.
  func makeLog(of run: RunID, memory: MemoryLog) -> any SharedLog

  // MARK: - Runs of others

  /// Gives a worker's run the meta that it lacks: the first gateway that asks decides its stream's id and its principal.
  ///
  /// - Parameter completion: gets the meta that it has then. The caller has to compare the principal with its own.
  func adopt(_ run: RunID, meta: RunMeta, _ completion: @escaping (Result<RunMeta, StoreFault>) -> Void)
  /// Notes which worker's run a stream is, for `timeToLive`.
  func nameStream(_ stream: StreamID, of run: RunID)
  /// Ends a worker's run in its log, unless it has ended.
  ///
  /// - Parameter last: the last entry that the caller has seen: nothing is done if another has come since. `nil`:
  ///   whatever has come.
  func endWorkers(
    _ run: RunID, _ end: EndRecord, ifLastIs last: EntryID?,
    _ completion: @escaping (Result<Bool, StoreFault>) -> Void)
  /// Delivers the entries of a run in order, those that are there and those that come.
  func follow(_ run: RunID, at outlet: RunOutlet, handler: any RunFeedHandler) -> any RunFeed

  // MARK: - What replicas tell each other

  /// Asks whoever has the run to stop it. Says nothing about whether there is such a run.
  func requestCancel(_ run: RunID, _ completion: @escaping (Result<Void, StoreFault>) -> Void)
  /// Tells the handler once when somebody asks for the run to stop, or has asked before.
  func watchCancel(of run: RunID, handler: any CancelHandler)
  func stopWatchingCancel(of run: RunID)
  /// Makes a client's own name for its stream a new reader's: whoever had it is told, on whichever replica.
  func take(
    clientStream: Digest, run: RunID, request: Digest?, handler: any ClientStreamHandler
  ) -> any ClientStreamHold
  /// Notes how a run stands here.
  func post(_ run: RunID, _ status: RunStatus)
  /// Notes what a reader here wants to become of a run that nobody reads.
  func post(_ run: RunID, wish: DisconnectPolicy)
  /// How the run stands, but for this loop's readers; `nil` when that can't be found out.
  func readersElsewhere(of run: RunID, _ completion: @escaping (RunStatus?) -> Void)
  /// Tells the observer whenever the store may have lost what was written.
  func add(_ observer: any StoreLifeObserver)
  func remove(_ observer: any StoreLifeObserver)
}

/// Where the events of a run that is written elsewhere are told.
package enum RunOutlet: Equatable, Sendable {
  /// In its log in the store.
  case log(RunWriter)
  /// On a channel, to those who listen; `<id>` in the template becomes the run's id.
  case channel(String)
  /// In a queue whose jobs are runs.
  case queue(String)
}

/// What a claimed run is held with.
package struct RunTitle: Sendable {
  package var run: RunID
  /// The token and the meta that it was claimed with.
  package var token: StreamID
  package var meta: RunMeta
  /// The key that started the run, and the request; they are to live as long as the run does.
  package var key: (key: Digest, request: Digest)?
  /// The client's own name for the run's stream, and the request, for a store that loses them.
  package var clientStream: (name: Digest, request: Digest?)?

  package init(
    run: RunID, token: StreamID, meta: RunMeta, key: (key: Digest, request: Digest)? = nil,
    clientStream: (name: Digest, request: Digest?)? = nil
  ) {
    self.run = run
    self.token = token
    self.meta = meta
    self.key = key
    self.clientStream = clientStream
  }
}

extension RunStore {
  /// How long an owner watches over a run whose end is stored: the store may lose the end by a failover. Over one lease,
  /// by when that is known, and no longer than what is stored lasts without being written again.
  package var watchAfterEnd: Nanoseconds { min(lease, Nanoseconds(timeToLive.value / 3)) }
}

/// Keeps a claimed run its owner's, until it is given up.
package protocol RunTenure: AnyObject {
  /// The run's end is stored: it is given up within `watchAfterEnd`. Until then nothing of it runs out in a store that
  /// loses nothing, so it need not be renewed.
  func settle()
  /// Gives up a run that has ended. What is known of it stays for the store's time to live.
  func release()
  /// Gives up a run that turned out to have no stream: those who wait for one on other replicas are told.
  func drop()
}

/// The log of a run that a store keeps for all replicas, as its owner writes it.
package protocol SharedLog: EventLog {
  /// Whether the store has the run's end, this log's or another, or will not get it any more. A store that loses it takes
  /// that back.
  var isSettled: Bool { get }
  /// From now on, readers may see entries that are not stored yet. Called by the owner after `storeLost`.
  func goOnWithoutStore()
  /// Readers get what is stored and then this end, until the store is back. Called by the owner after `storeLost`.
  func endReaders(_ outcome: Outcome, reason: String)
  /// Stops storing.
  func close()
}

/// A reader's hold on its client's own name for its stream.
package protocol ClientStreamHold: AnyObject {
  /// The reader is gone, or another of this loop has the name.
  func leave()
}

/// Who is told that a run is to stop. Once, and not before the call that began the watch has returned.
package protocol CancelHandler: AnyObject {
  func runWasCancelled(_ run: RunID)
}

/// Whose reader has to go because the same client has opened its stream anew. May be told again until the name is left.
package protocol ClientStreamHandler: AnyObject {
  func clientStreamWasTaken()
}

/// Who keeps something in a store that has to be written again when the store has lost it.
package protocol StoreLifeObserver: AnyObject {
  /// The connection is back, or the store has begun another life: what was written may be gone.
  func storeMayHaveForgotten()
}
