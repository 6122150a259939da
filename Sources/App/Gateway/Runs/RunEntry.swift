import Bytes
import Configuration
import HTTP
import Loop
import Runs
import SSE
import Streams
import Telemetry
import Time
import Tracing
import Upstreams

/// Finds the run for a request, or opens it: with an idempotency key only when the request's body is here.
final class RunEntry {
  let exchange: Exchange
  let context: LoopContext
  let runs: LoopRuns
  let route: Route
  let settings: RunSettings
  /// The request, until its reader has it.
  private var head: RequestHead?
  private let opening: StreamOpening
  var asked: RunRequest
  private let bodyFraming: BodyFraming
  private let body: RequestBody?
  /// The store that the request began with; a reload may have brought another meanwhile.
  let store: (any RunStore)?
  /// Decides which run is meant.
  private var admission: Admission?
  /// Its place among the runs that the store keeps, until its run has it.
  private var place: StoredPlace?
  /// The memory of the client's runs, from the look whether there is room until the new run's log holds it: it goes with
  /// its last holder, and would be made anew.
  private var memory: PrincipalMemory?
  /// What makes a run ours that was just claimed.
  private var claimed: RunOwnership?
  /// Until the admission goes on.
  private var pause: Timer?
  /// Whether the request's body is waited for.
  private var isGathering = false
  /// What is asked for, where requests are compared.
  private var digest: Digest?
  private(set) var reader: RunReader?
  private var source: UpstreamSource?

  /// `nil` when the request has no need of a run: it is passed on as on routes without them.
  init?(
    _ head: RequestHead, captures: PathCaptures, route: Route, settings: RunSettings, exchange: Exchange
  ) {
    switch head.method {
    case .get, .post, .put, .patch: break
    default: return nil
    }
    runs = exchange.runs
    context = exchange.context
    asked = RunRequest(head, captures: captures, settings: settings, common: exchange.settings.configuration.runs)
    opening = exchange.decideOpening(head, route)
    self.head = head
    bodyFraming = head.framing
    self.route = route
    self.settings = settings
    self.exchange = exchange
    store = settings.needsRedis ? runs.store : nil
    if settings.source != .upstream, head.method != .get { return nil }
    body =
      head.framing.mayHaveBytes
      ? RequestBody(framing: head.framing, replayLimit: route.replayLimit, budget: runs.process.bodies) : nil
    let policy = asked.wish.policy ?? settings.onDisconnect
    let isPlain = policy == .cancel && asked.aliases.isEmpty && asked.lastStream == nil && asked.workerRun == nil
    if opening.mode != .graceful, isPlain { return nil }
  }

  func begin() {
    guard needsBody, bodyFraming.mayHaveBytes else { return decide(nil) }
    if case .length(let length) = bodyFraming, length > settings.bodyLimit { return refuseBody() }
    isGathering = true
    if head?.expectsContinue == true { exchange.client.sendContinue() }
    exchange.client.exchangeNeedsTime()
  }

  /// Whether the request's body has to be here before a run is opened: it is compared, or the store is asked first.
  private var needsBody: Bool { asked.comparesBodies || settings.isStored }

  // MARK: - The request's body

  /// - Returns: whether more of it can be taken now.
  func bodyReceived(_ input: InputBuffer, _ range: Range<Int>) -> Bool {
    guard isGathering, let body else { return source?.bodyReceived(input, range) ?? true }
    if body.append(input.slice(range), isForwarded: false) == .refused {
      isGathering = false
      exchange.refuseForBodies()
      return true
    }
    if body.keptBytes > settings.bodyLimit { refuseBody() }
    return true
  }

  func bodyEnded() {
    guard isGathering, let body else {
      source?.bodyEnded()
      return
    }
    isGathering = false
    body.end()
    decide(body)
  }

  private func refuseBody() {
    isGathering = false
    exchange.refuse(
      .badRequest, 413, "body_too_large",
      "a request that opens such a run may have \(settings.bodyLimit) bytes of body")
  }

  // MARK: - Which run

  private func decide(_ gathered: RequestBody?) {
    guard let head else { return }
    digest = digest(of: head, gathered)
    var request = asked.forAdmission
    request.digest = digest
    request.mayBeginAnew = head.method == .get && (opening.mode == .graceful || asked.lastStream == nil)
    request.isStored = settings.isStored
    request.hasStore = store != nil
    request.goesOnWithoutStore = settings.whenStoreFails == .degrade
    if let store { request.lease = store.lease }
    let admission = Admission(RunAdmission(request))
    self.admission = admission
    perform(admission.machine.begin(storeIsAway: storeIsAway))
  }

  private func digest(of head: RequestHead, _ gathered: RequestBody?) -> Digest? {
    guard asked.comparesBodies else { return nil }
    let body = gathered?.withKept { [UInt8](copying: $0) } ?? []
    var target = ByteBuffer()
    target.append(head.path)
    target.append(UInt8(ascii: "?"))
    if let query = head.query { QueryString.write(query, removing: ["last_event_id", "stream_end"], into: &target) }
    return .request(method: head.method.name, target: target.toArray(), body: body)
  }

  /// Reads a run that the request's path names.
  init(
    _ head: RequestHead, asked: RunRequest, place: RunPlace, exchange: Exchange
  ) {
    self.asked = asked
    self.head = head
    bodyFraming = .none
    self.exchange = exchange
    route = place.route
    settings = place.settings
    context = exchange.context
    runs = exchange.runs
    opening = exchange.decideOpening(head, route)
    store = nil
    body = nil
  }

  func attach(to place: RunPlace) {
    guard let run = runs.find(place, store: store) else {
      return exchange.refuse(.badRequest, 404, "unknown_stream", "there is no such stream")
    }
    read(run)
  }

  // MARK: - What the admission decides

  private var storeIsAway: Bool { store?.connection.fault != nil }

  /// Does what the admission says: the one place where that happens.
  private func perform(_ step: RunAdmission.Step) {
    if let run = step.releases, let key = asked.key, let request = asked.digest(ofKeyed: digest) {
      store?.releaseKey(key, run: run, request: request)
    }
    if let loss = step.lost { noteLoss(loss) }
    switch step.next {
    case .nothing: break
    case .ask(let question): ask(question)
    case .wait(let time): wait(time)
    case .verdict(let verdict): carryOut(verdict)
    case .giveUp: claimed.take()?.giveUp()
    }
  }

  private func ask(_ question: RunAdmission.Question) {
    switch question {
    case .alias(let alias, let startsAnew):
      indexAnswered(runs.process.index.find(alias: alias, startsAnew: startsAnew))
    case .stream(let stream, let startsAnew):
      let isUseless = startsAnew && runs.process.index.hasFailed(stream)
      indexAnswered(isUseless ? nil : runs.process.index.find(stream, of: asked.principal))
    case .room:
      let room = makeRoom()
      advance { $0.roomAnswered(room) }
    case .place:
      let place = store.flatMap { takePlace($0) }
      self.place = place
      advance { $0.placeAnswered(place != nil) }
    default: if let store { ask(store, question) }
    }
  }

  /// The answer comes to the admission though the client has left meanwhile: a claim may have to be given back.
  private func answered(_ answer: RunAdmission.StoreAnswer) {
    let now = context.loop.now
    advance { $0.storeAnswered(answer, at: now) }
  }

  private func indexAnswered(_ place: RunPlace?) { advance { $0.indexAnswered(place?.indexed) } }

  /// After the verdict nothing is told to it any more.
  private func advance(_ tell: (inout RunAdmission) -> RunAdmission.Step) {
    guard let admission else { return }
    perform(tell(&admission.machine))
  }

  private func ask(_ store: any RunStore, _ question: RunAdmission.Question) {
    func tell<Value>(
      _ make: @escaping (Value) -> RunAdmission.StoreAnswer
    ) -> (Result<Value, StoreFault>) -> Void {
      { [self] result in
        switch result {
        case .success(let value): answered(make(value))
        case .failure(let fault): answered(.fault(fault))
        }
      }
    }
    switch question {
    case .alias, .stream, .room, .place: break
    case .lookup(let run): store.lookup(run, tell { .run($0) })
    case .runOfKey(let key): store.find(key: key, tell { .named($0) })
    case .runOfStream(let stream): store.find(stream: stream, tell { .named($0) })
    case .runOfClientStream(let name): store.find(clientStream: name, tell { .used($0) })
    case .remainingWait: store.remainingWait(tell { .wait($0) })
    case .claimKey(let key, let run, let request):
      store.claimKey(
        key, run: run, request: request,
        tell { [self] claim in
          if claim == .mine { place?.written() } else { place = nil }
          return .key(claim)
        })
    case .claim(let run, let stream): claim(run, stream, in: store, tell)
    case .adopt(let run):
      let meta = makeMeta(stream: context.nextStreamID(), source: .worker)
      store.adopt(
        run, meta: meta,
        tell { [self] known in
          if known.stream == meta.stream { place?.written() }
          return .adopted(known)
        })
    }
  }

  private func makeMeta(stream: StreamID, source: RunWriter = .gateway) -> RunMeta {
    RunMeta(
      principal: asked.principal, stream: stream, created: context.loop.wallTime(), source: source,
      route: route.settings.name)
  }

  private func claim(
    _ run: RunID, _ stream: StreamID, in store: any RunStore,
    _ tell: (@escaping (RunClaim) -> RunAdmission.StoreAnswer) -> (Result<RunClaim, StoreFault>) -> Void
  ) {
    var title = RunTitle(run: run, token: context.nextStreamID(), meta: makeMeta(stream: stream))
    if let key = asked.key, let wanted = asked.digest(ofKeyed: digest) { title.key = (key, wanted) }
    title.clientStream = asked.wish.clientStream.map { ($0, digest) }
    store.claim(
      run, token: title.token, meta: title.meta,
      tell { [self] claim in
        guard claim == .mine else { return .claim(claim) }
        place?.written()
        let log = runs.makeSharedLog(title, store, settings: settings)
        claimed = RunOwnership(title, log: log, store: store, place: place.take())
        return .claim(.mine)
      })
  }

  private func wait(_ time: Nanoseconds) {
    let timer = Timer(loop: context.loop) { [weak self] in
      guard let self else { return }
      pause = nil
      let isAway = storeIsAway
      advance { $0.waited(storeIsAway: isAway) }
    }
    timer.schedule(after: time)
    pause = timer
  }

  private func makeRoom() -> RunAdmission.Room {
    guard exchange.upstreams.admitsRequest else { return .noConnections }
    let memory = runs.process.memories.memory(of: asked.principal)
    if memory.wantsRoom { runs.makeRoom(for: memory) }
    guard memory.admitsRun else { return .noMemory }
    self.memory = memory
    return .given(context.nextStreamID())
  }

  private func carryOut(_ verdict: RunAdmission.Verdict) {
    if admission?.machine.ignoresLastID == true { asked.ignoreLastID() }
    if admission?.machine.isForeign == true { asked.isForeign() }
    defer { (memory, admission) = (nil, nil) }
    switch verdict {
    case .begin(let stream, let keeping):
      start(stream, ownership: claimed.take(), isDegraded: keeping == .degraded)
    case .resume(let stream):
      guard let place = runs.process.index.find(stream, of: asked.principal) else {
        return exchange.refuse(.badRequest, 404, "unknown_stream", "there is no such stream")
      }
      attach(to: place)
    case .follow(let run, let meta, let request):
      guard let store else { return exchange.storeIsAway() }
      if meta.source == .worker { store.nameStream(meta.stream, of: run) }
      read(runs.follow(run, meta, store, route: route, settings: settings, request: request))
    case .passUnkept: if let head { exchange.goOnUnkept(head, body, to: route) }
    case .refuse(let reason): refuse(reason)
    }
  }

  // MARK: - Opening

  /// - Parameter ownership: of a run that is kept in Redis; `nil` when it is kept here alone.
  private func start(_ stream: StreamID, ownership: RunOwnership?, isDegraded: Bool) {
    guard let head = head.take() else { return }
    let identity = RunIdentity(
      stream: stream, principal: asked.principal, request: digest, aliases: asked.aliases,
      trace: exchange.record.spans?.context)
    let older = asked.wish.clientStream.flatMap { runs.process.index.find(alias: $0) }
    // Another loop may have been quicker.
    let place = RunPlace(worker: context.index, identity: identity, route: route, settings: settings)
    if let place = runs.process.index.claim(place, unlessTaken: asked.key) {
      ownership?.giveUp()
      self.head = head
      return advance { $0.wasTaken(by: place.indexed) }
    }
    let made: (log: any EventLog, isImmediate: Bool)
    if let ownership {
      made = (ownership.log, false)
    } else {
      made = runs.makeLog(for: identity, settings: settings)
    }
    let source = UpstreamSource(
      head, body: body, from: exchange.client.forwarded, stream: stream, log: made.log, route: route,
      settings: exchange.settings, record: exchange.record, context: context)
    self.source = source
    let run = Run(
      identity: identity, log: made.log, isImmediate: made.isImmediate, source: source,
      policy: asked.wish.policy ?? settings.onDisconnect, route: route, settings: settings, host: runs)
    run.ownership = ownership
    run.notice = ownership?.notice
    run.isDegraded = isDegraded
    let reader = makeReader(run, head)
    source.opener = reader
    run.attach(reader)
    if let own = asked.wish.clientStream { replace(own, with: reader, isKnown: older != nil) }
    run.begin()
  }

  func read(_ run: Run) {
    // What comes of the request's body is of no use: the run has it already.
    body?.forget()
    guard let head = head.take() else { return }
    let reader = makeReader(run, head)
    run.attach(reader)
    if let own = asked.wish.clientStream { replace(own, with: reader, isKnown: true) }
  }

  /// The client has but one reader under its own name for its stream: this one.
  private func replace(_ own: Digest, with reader: RunReader, isKnown: Bool) {
    if isKnown { runs.replaceReaders(of: own, with: reader) }
    guard !reader.isOver, let notice = reader.run.notice else { return }
    // A name that Redis does not have yet is one thing more that it keeps.
    guard admission?.machine.nameIsStored == true || keepsName(own, of: reader.run, notice.store) else { return }
    reader.hold = notice.store.take(
      clientStream: own, run: notice.id, request: reader.run.identity.request, handler: reader)
  }

  private func makeReader(_ run: Run, _ head: RequestHead) -> RunReader {
    let isGraceful =
      asked.lastStream == run.stream || (asked.isByStream && opening.capability.understandsStreamEnd)
    var wish = asked.wish
    wish.mayAskAgain = admission != nil && asked.key != nil
    let reader = RunReader(
      run: run, wish: wish, host: exchange, request: head,
      opening: isGraceful ? opening.stayingGraceful : opening, runs: runs, books: exchange.streams.books)
    self.reader = reader
    runs.enter(reader)
    return reader
  }

  // MARK: - The client

  /// The client left.
  ///
  /// - Parameter isWhole: whether its request had come in full.
  func clientGone(isWhole: Bool) {
    isGathering = false
    admission?.machine.clientLeft()
    pause = nil
    let run = source == nil ? nil : reader?.run
    reader?.clientGone()
    if !isWhole { run?.openerLeftUnfinished() }
  }

  func timePassed(_ now: MonotonicTime) -> MonotonicTime? {
    if let reader { return reader.timePassed(now) }
    if admission?.machine.isWaiting == true { return now + .seconds(1) }
    guard isGathering else { return nil }
    // How long the client may be silent is its exchange's business.
    return now + .seconds(1)
  }
}

/// An object of its own, because it is large and over when the stream opens.
private final class Admission {
  var machine: RunAdmission

  init(_ machine: consuming RunAdmission) {
    self.machine = machine
  }
}
