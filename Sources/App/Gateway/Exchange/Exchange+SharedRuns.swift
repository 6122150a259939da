import Configuration
import HTTP
import Loop
import Runs
import SSE
import Streams
import Time

// Requests about a run that is not of this process: the store is asked.
extension Exchange {
  func storeIsAway() {
    refuse(.badUpstream, 503, "run_store_lost", "the store of runs can't be reached; ask again", retryAfter: 1)
  }

  /// Answers a request about a run that is not of this process.
  ///
  /// - Returns: false when there is no store, or a route of workers' runs serves the path.
  func serveShared(_ endpoint: RunEndpoint, _ request: RequestHead, _ asked: RunRequest) -> Bool {
    guard let store = runs.store else { return false }
    if case .read(_, isStrict: false) = endpoint, let route = settings.shared.match(request)?.route,
      let runs = route.settings.runs, runs.isFedByWorkers
    {
      return false
    }
    machine.seeksRun()
    // What the client has named itself comes first: that can't be another's.
    guard let name = asked.name(endpoint.name) else {
      resolve(endpoint, request, asked, store)
      return true
    }
    store.find(key: name) { [weak self] result in
      guard let self, phase == .inRun else { return }
      guard case .success(let named) = result else { return storeIsAway() }
      guard let named else { return resolve(endpoint, request, asked, store) }
      serve(endpoint, named: named, request, asked, store)
    }
    return true
  }

  /// Finds the run whose own id the path has, or the worker's run whose stream it names.
  private func resolve(
    _ endpoint: RunEndpoint, _ request: RequestHead, _ asked: RunRequest, _ store: any RunStore
  ) {
    guard let stream = StreamID(parsing: endpoint.name.utf8Span.span) else {
      return serve(endpoint, named: nil, request, asked, store)
    }
    store.find(stream: stream) { [weak self] result in
      guard let self, phase == .inRun else { return }
      guard case .success(let named) = result else { return storeIsAway() }
      serve(endpoint, named: named, request, asked, store)
    }
  }

  private func serve(
    _ endpoint: RunEndpoint, named: RunID?, _ request: RequestHead, _ asked: RunRequest, _ store: any RunStore
  ) {
    guard let id = named ?? RunID(endpoint.name) else { return sharedRunIsUnknown(endpoint, request, store) }
    serve(endpoint, of: id, request, asked, store)
  }

  private func serve(
    _ endpoint: RunEndpoint, of id: RunID, _ request: RequestHead, _ asked: RunRequest, _ store: any RunStore
  ) {
    store.lookup(id) { [weak self] result in
      guard let self, phase == .inRun else { return }
      guard case .success(let state) = result else { return storeIsAway() }
      // A worker's run that nobody has read yet is nobody's.
      let isTheirs = state.meta.map { $0.principal == asked.principal } ?? (state.last != nil)
      guard isTheirs else { return sharedRunIsUnknown(endpoint, request, store) }
      switch endpoint {
      case .read: readShared(id, state.meta, request, asked, store)
      case .stop: stopShared(id, isOver: state.end != nil, store)
      case .summarize: summarizeShared(id, state, store)
      }
    }
  }

  private func summarizeShared(_ id: RunID, _ known: RunState, _ store: any RunStore) {
    store.standing(of: id) { [weak self] result in
      guard let self, phase == .inRun else { return }
      guard case .success(let standing) = result else { return storeIsAway() }
      var summary = RunSummary(known, standing, at: context.loop.wallTime().milliseconds)
      if let here = summary.stream.flatMap({ self.runs[$0] }) {
        // Of what is published on a channel the store has nothing.
        summary.sequence = max(summary.sequence, here.log.last)
        summary.readers = max(summary.readers, here.readers.count)
      }
      answer(summary)
    }
  }

  private func sharedRunIsUnknown(_ endpoint: RunEndpoint, _ request: RequestHead, _ store: any RunStore) {
    if case .read(_, isStrict: false) = endpoint, settings.shared.match(request) != nil {
      machine.goesBack()
      return serveByRoute(request)
    }
    store.remainingWait { [weak self] result in
      guard let self, phase == .inRun else { return }
      // Redis has lost data, and whoever has the run may not have said so again yet.
      guard case .success(.zero) = result else { return storeIsAway() }
      refuse(.noRoute, 404, "unknown_run", "there is no such run")
    }
  }

  private func readShared(
    _ id: RunID, _ meta: RunMeta?, _ request: RequestHead, _ asked: RunRequest, _ store: any RunStore
  ) {
    guard let meta, let route = routeOfShared(meta), let settings = route.settings.runs else {
      return refuse(.noRoute, 404, "unknown_run", "there is no such run")
    }
    serve(route)
    let identity = RunIdentity(stream: meta.stream, principal: meta.principal)
    let place = RunPlace(worker: context.index, identity: identity, route: route, settings: settings)
    let entry = RunEntry(request, asked: asked, place: place, exchange: self)
    machine.isAnswered(by: entry)
    entry.read(runs.follow(id, meta, store, route: route, settings: settings))
  }

  /// The route that a run was opened on, which knows where its events come from; where that is gone, one of its kind.
  private func routeOfShared(_ meta: RunMeta) -> Route? {
    let routes = settings.shared.routes.filter { route in
      guard let runs = route.settings.runs else { return false }
      return meta.source == .worker ? runs.isFedByWorkers : runs.isStored
    }
    return routes.first { $0.settings.name == meta.route } ?? routes.first
  }

  private func stopShared(_ id: RunID, isOver: Bool, _ store: any RunStore) {
    guard !isOver else {
      answerEmpty(with: ownFields)
      return
    }
    store.requestCancel(id) { [weak self] result in
      guard let self, phase == .inRun else { return }
      guard case .success = result else { return storeIsAway() }
      answerEmpty(with: ownFields)
    }
  }
}
