import Loop
import RedisLog
import SSE
import Streams

/// What makes a run this gateway's among all replicas: its lease, its log in Redis, its ear for those who want it to stop.
/// Over when the run's end is in the store.
final class RunOwnership {
  let log: RedisLog
  let id: RunID
  let redis: RedisClient
  private let token: StreamID
  private let meta: RunMeta
  private let idempotency: (key: Digest, request: Digest)?
  private let clientStream: (name: Digest, request: Digest?)?
  // Held until it is over, not weakly: what is held weakly is dearer to retain, which every event of a run does.
  private var run: LoggedRun?
  private var lease: RunLease?
  private(set) var isOver = false
  /// Among the runs of which Redis keeps something.
  private var place: StoredPlace?

  /// - Parameters:
  ///   - token: the one that the run was claimed with.
  ///   - meta: the same.
  ///   - idempotency: what the run was started by, if that was claimed too.
  ///   - clientStream: the client's own name for the run's stream, if it has one.
  ///   - place: what is counted until its keys have expired.
  init(
    of id: RunID, token: StreamID, meta: RunMeta, idempotency: (key: Digest, request: Digest)?,
    clientStream: (name: Digest, request: Digest?)?, log: RedisLog, redis: RedisClient,
    place: StoredPlace?
  ) {
    self.id = id
    self.token = token
    self.meta = meta
    self.idempotency = idempotency
    self.clientStream = clientStream
    self.log = log
    self.redis = redis
    self.place = place
  }

  func begin(of run: LoggedRun) {
    self.run = run
    lease = makeLease()
    redis.cancelWatch.watch(id, handler: self)
  }

  private func makeLease() -> RunLease {
    RunLease(
      store: redis.store, run: id, token: token, meta: meta, idempotency: idempotency, clientStream: clientStream
    ) { [self] in
      run?.ownershipLost()
    }
  }

  /// The log has stored something.
  func logMoved() {
    if log.isSettled || (log.hasEnd && run?.isDegraded == false) { release() }
  }

  /// The run is forgotten, or there never was one.
  func giveUp() {
    if log.end == nil, let idempotency {
      // Nobody has got an answer by the key.
      redis.store.releaseIdempotency(idempotency.key, run: id, request: idempotency.request)
    }
    release(hasStream: log.end != nil || log.last > 0)
  }

  /// Whether the client is needed any more.
  func uses(_ client: RedisClient) -> Bool { !isOver && redis === client }

  private func release(hasStream: Bool = true) {
    guard !isOver else { return }
    isOver = true
    redis.cancelWatch.stop(id)
    let lease = lease.take() ?? makeLease()
    if hasStream {
      lease.release()
    } else {
      lease.drop()
      place?.deleted()
    }
    place = nil
    log.close()
    let host = run?.host
    run = nil
    host?.runLeft()
  }
}

extension RunOwnership: CancelHandler {
  func runWasCancelled(_ run: RunID) { self.run?.end(.cancelled, reason: "a client has asked for it") }
}
