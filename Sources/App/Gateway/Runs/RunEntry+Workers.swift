import Loop
import RedisLog
import SSE
import Streams

// Runs that workers feed, and what a client makes Redis keep.
extension RunEntry {
  /// Reads a run that a worker feeds, from its beginning or from where the client left it.
  ///
  /// - Parameter name: the run's id, or its stream's.
  func follow(_ name: String) {
    guard let redis, let id = RunID(name) else {
      return exchange.refuse(.badRequest, 404, "unknown_run", "there is no such run")
    }
    waitsForStore = true
    guard let stream = StreamID(parsing: name.utf8Span.span) else { return follow(id, redis) }
    redis.store.find(stream) { [self] result in
      guard waitsForStore else { return }
      guard case .success(let named) = result else { return storeIsAway() }
      follow(named ?? id, redis)
    }
  }

  private func follow(_ id: RunID, _ redis: RedisClient) {
    let meta = RunMeta(
      principal: asked.principal, stream: context.nextStreamID(), created: context.loop.wallTime(), source: .worker,
      route: route.settings.name)
    guard let place = takePlace(redis) else { return followKnown(id, redis) }
    redis.store.adopt(id, meta: meta) { [self] result in
      if case .success(let known) = result, known.stream == meta.stream { place.written() }
      guard waitsForStore else { return }
      waitsForStore = false
      switch result {
      case .failure: storeIsAway()
      case .success(let meta): read(id, meta, redis)
      }
    }
  }

  /// Reads a worker's run that was read before: one that nobody has read yet would be one thing more that Redis keeps.
  private func followKnown(_ id: RunID, _ redis: RedisClient) {
    redis.store.lookup(id) { [self] result in
      guard waitsForStore else { return }
      waitsForStore = false
      guard case .success(let state) = result else { return storeIsAway() }
      guard let meta = state.meta else { return refuseForRoom() }
      read(id, meta, redis)
    }
  }

  private func read(_ id: RunID, _ meta: RunMeta, _ redis: RedisClient) {
    guard meta.principal == asked.principal else {
      return exchange.refuse(.badRequest, 404, "unknown_run", "there is no such run")
    }
    redis.store.nameStream(meta.stream, of: id)
    read(runs.follow(id, meta, redis, route: route, settings: settings))
  }

  // MARK: - What Redis keeps

  /// A place for one thing more that Redis is to keep for this client; `nil` when there is none left.
  func takePlace(_ redis: RedisClient) -> StoredPlace? {
    runs.hub.stored.take(for: asked.principal, lifetime: redis.settings.timeToLive, on: context.loop)
  }

  /// Whether Redis may keep the client's own name for its stream until its time is over.
  func keepsName(_ redis: RedisClient) -> Bool {
    guard let place = takePlace(redis) else { return false }
    place.written()
    nameIsStored = true
    return true
  }
}
