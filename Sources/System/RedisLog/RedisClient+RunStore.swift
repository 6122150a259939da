package import Runs
package import SSE
package import Streams
package import Time

// Redis as the store of runs: each promise is kept by the part of this module that knows how.
extension RedisClient: RunStore {
  package var connection: StoreStanding { isReady ? .connected : lastFault.map { .away(reason: $0) } ?? .unknown }
  package var lease: Nanoseconds { settings.lease }
  package var timeToLive: Nanoseconds { settings.timeToLive }

  private typealias Completion<Value> = (Result<Value, RedisError>) -> Void

  private func told<Value>(_ completion: @escaping (Result<Value, StoreFault>) -> Void) -> Completion<Value> {
    { completion($0.mapError { StoreFault($0.reason) }) }
  }

  // MARK: - What is known

  package func lookup(_ run: RunID, _ completion: @escaping (Result<RunState, StoreFault>) -> Void) {
    let told = told(completion)
    store.lookup(run) { [owners] result in
      if case .success(let state) = result, state.meta?.source == .gateway, state.end == nil {
        owners.wasAsked(for: run)
      }
      told(result)
    }
  }

  package func standing(of run: RunID, _ completion: @escaping (Result<RunStanding, StoreFault>) -> Void) {
    store.standing(of: run, told(completion))
  }

  package func find(key: Digest, _ completion: @escaping (Result<RunID?, StoreFault>) -> Void) {
    store.find(key, told(completion))
  }

  package func find(stream: StreamID, _ completion: @escaping (Result<RunID?, StoreFault>) -> Void) {
    store.find(stream, told(completion))
  }

  package func find(clientStream: Digest, _ completion: @escaping (Result<ClientStreamUse?, StoreFault>) -> Void) {
    clientStreams.find(clientStream, told(completion))
  }

  package func remainingWait(_ completion: @escaping (Result<Nanoseconds, StoreFault>) -> Void) {
    store.remainingWait(told(completion))
  }

  // MARK: - Runs of this gateway's

  package func claim(
    _ run: RunID, token: StreamID, meta: RunMeta, _ completion: @escaping (Result<RunClaim, StoreFault>) -> Void
  ) {
    let told = told(completion)
    store.claim(run, token: token, meta: meta) { [store] result in
      // It may have been carried out all the same, and nobody is to wait for an owner that is none.
      if case .failure(let error) = result, error.leavesDoubt {
        RunLease(store: store, run: run, token: token, meta: meta) {}.release()
      }
      told(result)
    }
  }

  package func claimKey(
    _ key: Digest, run: RunID, request: Digest, _ completion: @escaping (Result<KeyClaim, StoreFault>) -> Void
  ) {
    store.claimIdempotency(key, run: run, request: request, timeToLive: settings.lease, told(completion))
  }

  package func releaseKey(_ key: Digest, run: RunID, request: Digest) {
    store.releaseIdempotency(key, run: run, request: request)
  }

  package func hold(_ title: RunTitle, lost: @escaping () -> Void) -> any RunTenure {
    RunLease(
      store: store, run: title.run, token: title.token, meta: title.meta, idempotency: title.key,
      clientStream: title.clientStream, lost: lost)
  }

  package func makeLog(of run: RunID, memory: MemoryLog) -> any SharedLog {
    RedisLog(run: run, store: store, memory: memory)
  }

  // MARK: - Runs of others

  package func adopt(_ run: RunID, meta: RunMeta, _ completion: @escaping (Result<RunMeta, StoreFault>) -> Void) {
    store.adopt(run, meta: meta, told(completion))
  }

  package func nameStream(_ stream: StreamID, of run: RunID) { store.nameStream(stream, of: run) }

  package func endWorkers(
    _ run: RunID, _ end: EndRecord, ifLastIs last: EntryID?,
    _ completion: @escaping (Result<Bool, StoreFault>) -> Void
  ) {
    store.endWorkers(run, end, ifLastIs: last, told(completion))
  }

  package func follow(_ run: RunID, at outlet: RunOutlet, handler: any RunFeedHandler) -> any RunFeed {
    switch outlet {
    case .log(let writer): follower.follow(run, source: writer, handler: handler)
    case .channel(let template): PubSubFeed(run: run, template: template, channels: channels, handler: handler)
    case .queue(let name): queue(name).follow(run, handler: handler)
    }
  }

  // MARK: - What replicas tell each other

  package func requestCancel(_ run: RunID, _ completion: @escaping (Result<Void, StoreFault>) -> Void) {
    store.requestCancel(run, told(completion))
  }

  package func watchCancel(of run: RunID, handler: any CancelHandler) { cancelWatch.watch(run, handler: handler) }
  package func stopWatchingCancel(of run: RunID) { cancelWatch.stop(run) }

  package func take(
    clientStream: Digest, run: RunID, request: Digest?, handler: any ClientStreamHandler
  ) -> any ClientStreamHold {
    clientStreams.take(clientStream, run: run, request: request, handler: handler)
  }

  package func post(_ run: RunID, _ status: RunStatus) { statusBoard.post(run, status) }
  package func post(_ run: RunID, wish: DisconnectPolicy) { statusBoard.post(run, wish: wish) }

  package func readersElsewhere(of run: RunID, _ completion: @escaping (RunStatus?) -> Void) {
    statusBoard.readersElsewhere(of: run, completion)
  }

  package func add(_ observer: any StoreLifeObserver) { store.life.add(observer) }
  package func remove(_ observer: any StoreLifeObserver) { store.life.remove(observer) }
}

extension RedisLog: SharedLog {}
extension RunLease: RunTenure {}
