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
        read(worker.runs.follow(id, meta, redis, route: route, settings: settings))
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
    let since = waitingSince ?? worker.loop.now
    waitingSince = since
    // A Redis that loses its data again and again is as good as none.
    guard worker.loop.now - since < redis.settings.lease + .seconds(2) else { return storeIsAway() }
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
        if let place = worker.hub.directory.find(meta.stream, of: asked.principal) { return attach(to: place) }
        read(worker.runs.follow(use.run, meta, redis, route: route, settings: settings, request: use.request))
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
    let token = worker.nextStreamID()
    let meta = RunMeta(
      principal: asked.principal, stream: stream, created: worker.loop.wallTime(), route: route.settings.name)
    redis.store.claim(id, token: token, meta: meta) { [self] result in
      guard case .success(.mine) = result else {
        var fault: RedisError?
        if case .failure(let error) = result { fault = error }
        if waitsForStore { storeFailed(stream, request, fault) }
        return
      }
      place?.written()
      let log = worker.runs.makeSharedLog(id, meta, redis, settings: settings)
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
      let place = worker.hub.directory.find(stream, of: asked.principal),
      !asked.startsAnew || !worker.hub.directory.hasFailed(stream)
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
        if let place = worker.hub.directory.find(meta.stream, of: asked.principal) { return attach(to: place) }
        return read(worker.runs.follow(id, meta, redis, route: route, settings: settings))
      }
      var cost = 1
      if case .failure = result { cost = 20 }
      guard tries >= cost else { return storeIsAway() }
      ask(again: .milliseconds(50)) { [self] in join(id, key, request, redis, tries: tries - cost) }
    }
  }

  /// Does `body` after a while, if the client is still there.
  private func ask(again delay: Nanoseconds, _ body: @escaping () -> Void) {
    let timer = Timer(loop: worker.loop) { [weak self] in
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
    worker.shard.increment(worker.metrics.redis.storeLosses)
    worker.log.write(.warning, "run_store_lost", at: worker.loop.wallTime()) { line in
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

extension Exchange {
  func storeIsAway() {
    refuse(.badUpstream, 503, "run_store_lost", "the store of runs can't be reached; ask again", retryAfter: 1)
  }

  /// Answers a request about a run that is not of this process.
  ///
  /// - Returns: false when there is no store, or a route of workers' runs serves the path.
  func serveShared(_ endpoint: RunEndpoint, _ request: RequestHead, _ asked: RunRequest) -> Bool {
    guard let redis = worker.runs.redis else { return false }
    if case .read(_, isStrict: false) = endpoint, let route = settings.shared.match(request)?.route,
      let runs = route.settings.runs, runs.isFedByWorkers
    {
      return false
    }
    phase = .inRun
    // What the client has named itself comes first: that can't be another's.
    guard let name = asked.name(endpoint.name) else {
      resolve(endpoint, request, asked, redis)
      return true
    }
    redis.store.find(name) { [weak self] result in
      guard let self, phase == .inRun else { return }
      guard case .success(let named) = result else { return storeIsAway() }
      guard let named else { return resolve(endpoint, request, asked, redis) }
      serve(endpoint, named: named, request, asked, redis)
    }
    return true
  }

  /// Finds the run whose own id the path has, or the worker's run whose stream it names.
  private func resolve(
    _ endpoint: RunEndpoint, _ request: RequestHead, _ asked: RunRequest, _ redis: RedisClient
  ) {
    guard let stream = StreamID(parsing: endpoint.name.utf8Span.span) else {
      return serve(endpoint, named: nil, request, asked, redis)
    }
    redis.store.find(stream) { [weak self] result in
      guard let self, phase == .inRun else { return }
      guard case .success(let named) = result else { return storeIsAway() }
      serve(endpoint, named: named, request, asked, redis)
    }
  }

  private func serve(
    _ endpoint: RunEndpoint, named: RunID?, _ request: RequestHead, _ asked: RunRequest, _ redis: RedisClient
  ) {
    guard let id = named ?? RunID(endpoint.name) else { return sharedRunIsUnknown(endpoint, request, redis) }
    serve(endpoint, of: id, request, asked, redis)
  }

  private func serve(
    _ endpoint: RunEndpoint, of id: RunID, _ request: RequestHead, _ asked: RunRequest, _ redis: RedisClient
  ) {
    redis.store.lookup(id) { [weak self] result in
      guard let self, phase == .inRun else { return }
      guard case .success(let state) = result else { return storeIsAway() }
      // A worker's run that nobody has read yet is nobody's.
      let isTheirs = state.meta.map { $0.principal == asked.principal } ?? (state.last != nil)
      guard isTheirs else { return sharedRunIsUnknown(endpoint, request, redis) }
      switch endpoint {
      case .read: readShared(id, state.meta, request, asked, redis)
      case .stop: stopShared(id, isOver: state.end != nil, redis)
      case .look: lookAtShared(id, state, redis)
      }
    }
  }

  private func lookAtShared(_ id: RunID, _ known: RunState, _ redis: RedisClient) {
    redis.store.standing(of: id) { [weak self] result in
      guard let self, phase == .inRun else { return }
      guard case .success(let standing) = result else { return storeIsAway() }
      var summary = RunSummary(known, standing, at: worker.loop.wallTime().milliseconds)
      if let here = summary.stream.flatMap({ self.worker.runs[$0] }) {
        // Of what is published on a channel the store has nothing.
        summary.sequence = max(summary.sequence, here.log.last)
        summary.readers = max(summary.readers, here.readers.count)
      }
      answer(summary)
    }
  }

  private func sharedRunIsUnknown(_ endpoint: RunEndpoint, _ request: RequestHead, _ redis: RedisClient) {
    if case .read(_, isStrict: false) = endpoint, settings.shared.match(request) != nil {
      phase = .dispatching
      return serveByRoute(request)
    }
    redis.store.remainingWait { [weak self] result in
      guard let self, phase == .inRun else { return }
      // Redis has lost data, and whoever has the run may not have said so again yet.
      guard case .success(.zero) = result else { return storeIsAway() }
      refuse(.noRoute, 404, "unknown_run", "there is no such run")
    }
  }

  private func readShared(
    _ id: RunID, _ meta: RunMeta?, _ request: RequestHead, _ asked: RunRequest, _ redis: RedisClient
  ) {
    guard let meta, let route = routeOfShared(meta), let settings = route.settings.runs else {
      return refuse(.noRoute, 404, "unknown_run", "there is no such run")
    }
    serve(route)
    let identity = RunIdentity(stream: meta.stream, principal: meta.principal)
    let place = RunPlace(worker: worker.index, identity: identity, route: route, settings: settings)
    let entry = RunEntry(request, asked: asked, place: place, exchange: self, connection: connection)
    self.entry = entry
    entry.read(worker.runs.follow(id, meta, redis, route: route, settings: settings))
  }

  /// The route that a run was opened on, which knows where its events come from; where that is gone, one of its kind.
  private func routeOfShared(_ meta: RunMeta) -> Route? {
    let routes = settings.shared.routes.filter { route in
      guard let runs = route.settings.runs else { return false }
      return meta.source == .worker ? runs.isFedByWorkers : runs.store == .redis
    }
    return routes.first { $0.settings.name == meta.route } ?? routes.first
  }

  private func stopShared(_ id: RunID, isOver: Bool, _ redis: RedisClient) {
    guard !isOver else {
      answerEmpty(with: crossOriginFields)
      return
    }
    redis.store.requestCancel(id) { [weak self] result in
      guard let self, phase == .inRun else { return }
      guard case .success = result else { return storeIsAway() }
      answerEmpty(with: crossOriginFields)
    }
  }
}
