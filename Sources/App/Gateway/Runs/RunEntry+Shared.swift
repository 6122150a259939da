import HTTP
import Loop
import RedisLog
import SSE
import Streams
import Telemetry
import Time

// Runs that all replicas know: the store is asked before anything is begun.
extension RunEntry {
  /// Reads a run that may be another replica's.
  func seek(_ stream: StreamID, _ request: Digest?) {
    guard let redis, let id = RunID(stream.description) else { return foreign(request) }
    waitsForStore = true
    redis.store.lookup(id) { [self] result in
      guard waitsForStore else { return }
      waitsForStore = false
      switch result {
      case .failure: storeIsAway()
      case .success(let state):
        guard let meta = state.meta, meta.principal == asked.principal else {
          return onceSettled(redis, request) { [self] in foreign(request) }
        }
        read(runs.follow(id, meta, redis, route: route, settings: settings))
      }
    }
  }

  /// Does `body`, which takes it that no run is meant, unless Redis may have lost what it knew of one: then the run is
  /// looked for again, until whoever has it has had the time to say so.
  private func onceSettled(_ redis: RedisClient, _ request: Digest?, _ body: @escaping () -> Void) {
    waitsForStore = true
    redis.store.remainingWait { [self] result in
      guard waitsForStore else { return }
      waitsForStore = false
      guard case .success(let left) = result, left > .zero else { return body() }
      findAgain(in: left, request, redis)
    }
  }

  /// Looks for the run again, from the beginning, when `left` has passed or somebody may have said whose it is.
  private func findAgain(in left: Nanoseconds, _ request: Digest?, _ redis: RedisClient) {
    let since = waitingSince ?? context.loop.now
    waitingSince = since
    // A Redis that loses its data again and again is as good as none.
    guard context.loop.now - since < redis.settings.lease + .seconds(2) else { return storeIsAway() }
    waitsForStore = true
    ask(again: min(left, .milliseconds(250))) { [self] in
      waitsForStore = false
      find(request)
    }
  }

  /// Looks for a run that another replica may know by a name that the client gives.
  func seekByName(_ request: Digest?) {
    guard let redis, !redis.isAway else { return goOn(request) }
    waitsForStore = true
    guard asked.wish.lastID != nil, let key = asked.key else { return seekByClientStream(request, redis) }
    redis.store.find(key) { [self] result in
      guard waitsForStore else { return }
      guard case .success(_?) = result else { return seekByClientStream(request, redis) }
      // The key is there: it is claimed, which finds its run and compares the requests.
      waitsForStore = false
      open(request)
    }
  }

  private func seekByClientStream(_ request: Digest?, _ redis: RedisClient) {
    guard let own = asked.wish.clientStream else { return seekFailed(request) }
    redis.clientStreams.find(own) { [self] result in
      guard waitsForStore else { return }
      if case .success(nil) = result {
        return onceSettled(redis, request) { [self] in goOn(request) }
      }
      guard case .success(let use?) = result, asked.wish.lastID != nil || (request != nil && request == use.request)
      else { return seekFailed(request) }
      redis.store.lookup(use.run) { [self] result in
        guard waitsForStore else { return }
        guard case .success(let state) = result, let meta = state.meta, meta.source == .gateway,
          meta.principal == asked.principal
        else { return seekFailed(request) }
        waitsForStore = false
        nameIsStored = true
        if let place = runs.hub.directory.find(meta.stream, of: asked.principal) { return attach(to: place) }
        read(runs.follow(use.run, meta, redis, route: route, settings: settings, request: use.request))
      }
    }
  }

  private func seekFailed(_ request: Digest?) {
    waitsForStore = false
    goOn(request)
  }

  // MARK: - A run of this replica's

  /// Makes the run this replica's, then starts it.
  func claim(_ stream: StreamID, _ request: Digest?) {
    guard let redis, let id = RunID(stream.description) else { return storeFailed(stream, request) }
    place = takePlace(redis)
    guard let key = asked.key, let wanted = asked.digest(ofKeyed: request) else {
      guard place != nil else { return goOnUnkept() }
      waitsForStore = true
      return own(id, stream, request, nil, redis)
    }
    waitsForStore = true
    redis.store.claimIdempotency(key, run: id, request: wanted) { [self] result in
      guard waitsForStore else {
        if case .success(.mine) = result { redis.store.releaseIdempotency(key, run: id, request: wanted) }
        return
      }
      switch result {
      case .success(.mine):
        guard let place else {
          redis.store.releaseIdempotency(key, run: id, request: wanted)
          waitsForStore = false
          return refuseForRoom()
        }
        place.written()
        own(id, stream, request, (key, wanted), redis)
      case .success(.attach(let run, request: let first)):
        place = nil
        guard first == wanted else {
          return exchange.refuse(
            .badRequest, 422, "idempotency_key_reused", "another request was made with this idempotency key")
        }
        if asked.idempotencyKey != nil, let stream = StreamID(parsing: run.description.utf8Span.span) {
          asked.repeats(stream)
        }
        join(run, (key, wanted), request, redis, tries: 60)
      case .success(.wait(let left)):
        waitsForStore = false
        findAgain(in: left, request, redis)
      case .failure(let error): storeFailed(stream, request, error)
      }
    }
  }

  private func own(
    _ id: RunID, _ stream: StreamID, _ request: Digest?, _ key: (key: Digest, request: Digest)?, _ redis: RedisClient
  ) {
    let token = context.nextStreamID()
    let meta = RunMeta(
      principal: asked.principal, stream: stream, created: context.loop.wallTime(), route: route.settings.name)
    redis.store.claim(id, token: token, meta: meta) { [self] result in
      guard case .success(.mine) = result else {
        var fault: RedisError?
        if case .failure(let error) = result { fault = error }
        if waitsForStore { storeFailed(stream, request, fault) }
        return
      }
      place?.written()
      let log = runs.makeSharedLog(id, meta, redis, settings: settings)
      let ownership = RunOwnership(
        of: id, token: token, meta: meta, idempotency: key,
        clientStream: asked.wish.clientStream.map { ($0, request) }, log: log, redis: redis, place: place.take())
      guard waitsForStore else { return ownership.giveUp() }
      waitsForStore = false
      nameIsStored = true
      start(stream, request, ownership: ownership)
    }
  }

  /// Reads the run that the first request of this key has started, here or elsewhere. It may be just beginning.
  private func join(
    _ id: RunID, _ key: (key: Digest, request: Digest), _ request: Digest?, _ redis: RedisClient, tries: Int
  ) {
    if let stream = StreamID(parsing: id.description.utf8Span.span),
      let place = runs.hub.directory.find(stream, of: asked.principal),
      !asked.startsAnew || !runs.hub.directory.hasFailed(stream)
    {
      waitsForStore = false
      return attach(to: place)
    }
    redis.store.lookup(id) { [self] result in
      guard waitsForStore else { return }
      if case .success(let state) = result, let meta = state.meta, meta.principal == asked.principal {
        waitsForStore = false
        if asked.startsAnew, state.end?.outcome.isGatewaysOwn == true {
          // Whoever read it has been told. Of several that come now one gets the key.
          redis.store.releaseIdempotency(key.key, run: id, request: key.request)
          return findAgain(in: .milliseconds(1), request, redis)
        }
        // Another loop of this process may have begun it meanwhile.
        if let place = runs.hub.directory.find(meta.stream, of: asked.principal) { return attach(to: place) }
        return read(runs.follow(id, meta, redis, route: route, settings: settings))
      }
      var cost = 1
      if case .failure = result { cost = 20 }
      guard tries >= cost else { return storeIsAway() }
      ask(again: .milliseconds(50)) { [self] in join(id, key, request, redis, tries: tries - cost) }
    }
  }

  /// Does `body` after a while, if the client is still there.
  private func ask(again delay: Nanoseconds, _ body: @escaping () -> Void) {
    let timer = Timer(loop: context.loop) { [weak self] in
      guard let self, waitsForStore else { return }
      retry = nil
      body()
    }
    timer.schedule(after: delay)
    retry = timer
  }

  // MARK: - Without the store

  private func storeFailed(_ stream: StreamID, _ request: Digest?, _ error: RedisError? = nil) {
    waitsForStore = false
    context.shard.increment(context.metrics.redis.storeLosses)
    context.log.write(.warning, "run_store_lost", at: context.loop.wallTime()) { line in
      line.field("streamId") { stream.write(to: &$0) }
      line.field("route", route.settings.name)
      line.field("reason", error?.reason ?? redis?.fault ?? "")
    }
    switch settings.whenStoreFails {
    case .degrade: start(stream, request, isDegraded: true)
    case .refuse: storeIsAway()
    }
  }

  func storeIsAway() {
    waitsForStore = false
    exchange.storeIsAway()
  }
}
