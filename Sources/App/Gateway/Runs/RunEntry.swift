import Bytes
import HTTP
import Loop
import RedisLog
import SSE
import Streams
import Telemetry
import Time

/// Finds the run for a request, or opens it: with an idempotency key only when the request's body is here.
final class RunEntry {
  let exchange: Exchange
  let context: LoopContext
  let runs: RunRoster
  let route: Route
  let settings: RunSettings
  private let head: RequestHead
  private let opening: StreamOpening
  var asked: RunRequest
  private let body: RequestBody?
  /// The store that the request began with; a reload may have brought another meanwhile.
  let redis: RedisClient?
  /// Whether an answer of the store is waited for.
  var waitsForStore = false
  /// Its place among the runs that Redis keeps, until its run has it.
  var place: StoredPlace?
  /// Whether Redis has the client's own name for its stream.
  var nameIsStored = false
  /// Since when the request waits because the store may have lost what it knew of it.
  var waitingSince: MonotonicTime?
  /// Until the store is asked again.
  var retry: Timer?
  /// Whether the request's body is waited for.
  private var isGathering = false
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
    self.route = route
    self.settings = settings
    self.exchange = exchange
    redis = settings.needsRedis ? runs.redis : nil
    if settings.source != .upstream, head.method != .get { return nil }
    body =
      head.framing.mayHaveBytes
      ? RequestBody(framing: head.framing, replayLimit: route.replayLimit, budget: runs.hub.bodies) : nil
    let policy = asked.wish.policy ?? settings.onDisconnect
    let isPlain = policy == .cancel && asked.aliases.isEmpty && asked.lastStream == nil && asked.workerRun == nil
    if opening.mode != .graceful, isPlain { return nil }
  }

  func begin() {
    guard needsBody, head.framing.mayHaveBytes else { return decide(nil) }
    if case .length(let length) = head.framing, length > settings.bodyLimit { return refuseBody() }
    isGathering = true
    if head.expectsContinue { exchange.client.sendContinue() }
    exchange.client.exchangeNeedsTime()
  }

  /// Whether the request's body has to be here before a run is opened: it is compared, or the store is asked first.
  private var needsBody: Bool { asked.comparesBodies || settings.store == .redis }

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
    if let name = asked.workerRun { return follow(name) }
    find(digest(of: gathered))
  }

  /// Finds the run that the request means by what is known here, then by what other replicas know.
  func find(_ request: Digest?) {
    let directory = runs.hub.directory
    if let key = asked.idempotencyKey, let place = directory.find(alias: key, startsAnew: asked.startsAnew) {
      return repeated(place, request)
    }
    if let lastStream = asked.lastStream {
      if let place = directory.find(lastStream, of: asked.principal) { return attach(to: place) }
      return settings.store == .redis ? seek(lastStream, request) : foreign(request)
    }
    if let name = asked.name, let place = directory.find(alias: name, startsAnew: asked.startsAnew) {
      return attach(to: place)
    }
    if let own = asked.wish.clientStream, let place = directory.find(alias: own, startsAnew: asked.startsAnew),
      asked.wish.lastID != nil || (request != nil && request == place.identity.request)
    {
      return attach(to: place)
    }
    if settings.store == .redis, asked.mayBeKnownElsewhere { return seekByName(request) }
    goOn(request)
  }

  /// No run is known that the request could mean.
  func goOn(_ request: Digest?) {
    if asked.wish.lastID != nil { return foreign(request) }
    open(request)
  }

  private func digest(of gathered: RequestBody?) -> Digest? {
    guard asked.comparesBodies else { return nil }
    let body = gathered?.withKept { [UInt8](copying: $0) } ?? []
    var target = ByteBuffer()
    target.append(head.path)
    target.append(UInt8(ascii: "?"))
    if let query = head.query { QueryString.write(query, removing: ["last_event_id"], into: &target) }
    return .request(method: head.method.name, target: target.toArray(), body: body)
  }

  /// The key was used before.
  func repeated(_ place: RunPlace, _ request: Digest?) {
    guard place.identity.request == request else {
      return exchange.refuse(
        .badRequest, 422, "idempotency_key_reused", "another request was made with this idempotency key")
    }
    asked.repeats(place.identity.stream)
    attach(to: place)
  }

  /// It goes on from a run that is not known here, or not to this client.
  func foreign(_ request: Digest?) {
    // Another run would be told as one by `stream_reset` alone.
    guard head.method == .get, opening.mode == .graceful || asked.lastStream == nil else {
      context.shard.increment(context.metrics.resumes[.refused])
      return exchange.refuse(.badRequest, 404, "unknown_stream", "there is no such stream")
    }
    asked.isForeign()
    open(request)
  }

  /// Reads a run that the request's path names.
  init(
    _ head: RequestHead, asked: RunRequest, place: RunPlace, exchange: Exchange
  ) {
    self.asked = asked
    self.head = head
    self.exchange = exchange
    route = place.route
    settings = place.settings
    context = exchange.context
    runs = exchange.runs
    opening = exchange.decideOpening(head, route)
    redis = nil
    body = nil
  }

  func attach(to place: RunPlace) {
    guard let run = runs.find(place, redis: redis) else {
      return exchange.refuse(.badRequest, 404, "unknown_stream", "there is no such stream")
    }
    read(run)
  }

  // MARK: - Opening

  func open(_ request: Digest?) {
    guard exchange.upstreams.admitsRequest else { return exchange.refuseForConnections() }
    let share = runs.hub.memories.memory(of: asked.principal)
    if share.wantsRoom { runs.makeRoom(for: share) }
    guard share.admitsRun else { return goOnUnkept() }
    let stream = context.nextStreamID()
    if settings.store == .redis { claim(stream, request) } else { start(stream, request) }
  }

  /// There is no room for another run. One that a key names must not be without its log: it could be made twice.
  func goOnUnkept() {
    guard asked.key == nil else { return refuseForRoom() }
    exchange.goOnUnkept(head, body, to: route)
  }

  func refuseForRoom() {
    exchange.refuse(
      .overload, 503, "overload", "as many runs are kept as there may be, of this client or of all", retryAfter: 1)
  }

  /// - Parameter ownership: of a run that is kept in Redis; `nil` when it is kept here alone.
  func start(_ stream: StreamID, _ request: Digest?, ownership: RunOwnership? = nil, isDegraded: Bool = false) {
    let identity = RunIdentity(
      stream: stream, principal: asked.principal, request: request, aliases: asked.aliases)
    let older = asked.wish.clientStream.flatMap { runs.hub.directory.find(alias: $0) }
    // Another loop may have been quicker.
    let place = RunPlace(worker: context.index, identity: identity, route: route, settings: settings)
    if let place = runs.hub.directory.claim(place, unlessTaken: asked.key) {
      ownership?.giveUp()
      return asked.idempotencyKey == nil ? attach(to: place) : repeated(place, request)
    }
    let made: (log: any EventLog, isImmediate: Bool)
    if let ownership {
      made = (ownership.log, false)
    } else {
      made = runs.makeLog(for: identity, settings: settings)
    }
    let source = UpstreamSource(
      head, body: body, from: exchange.client.forwarded, stream: stream, log: made.log, route: route,
      settings: exchange.settings, context: context)
    self.source = source
    let run = LoggedRun(
      identity: identity, log: made.log, isImmediate: made.isImmediate, source: source,
      policy: asked.wish.policy ?? settings.onDisconnect, route: route, settings: settings, host: runs)
    run.ownership = ownership
    run.notice = ownership?.notice
    run.isDegraded = isDegraded
    let reader = makeReader(run)
    source.opener = reader
    run.attach(reader)
    if let own = asked.wish.clientStream { replace(own, with: reader, isKnown: older != nil) }
    run.begin()
  }

  func read(_ run: LoggedRun) {
    // What comes of the request's body is of no use: the run has it already.
    body?.forget()
    let reader = makeReader(run)
    run.attach(reader)
    if let own = asked.wish.clientStream { replace(own, with: reader, isKnown: true) }
  }

  /// The client has but one reader under its own name for its stream: this one.
  private func replace(_ own: Digest, with reader: RunReader, isKnown: Bool) {
    if isKnown { runs.replaceReaders(of: own, with: reader) }
    guard !reader.isOver, let notice = reader.run.notice else { return }
    // A name that Redis does not have yet is one thing more that it keeps.
    guard nameIsStored || reader.run.identity.aliases.contains(own) || keepsName(notice.redis) else { return }
    reader.hold = notice.redis.clientStreams.take(
      own, run: notice.id, request: reader.run.identity.request, handler: reader)
  }

  private func makeReader(_ run: LoggedRun) -> RunReader {
    let isGraceful =
      asked.lastStream == run.stream || (asked.isByStream && opening.capability.understandsStreamEnd)
    let reader = RunReader(
      run: run, wish: asked.wish, host: exchange, request: head,
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
    waitsForStore = false
    retry = nil
    let run = source == nil ? nil : reader?.run
    reader?.clientGone()
    if !isWhole { run?.openerLeftUnfinished() }
  }

  func timePassed(_ now: MonotonicTime) -> MonotonicTime? {
    if let reader { return reader.timePassed(now) }
    if waitsForStore { return now + .seconds(1) }
    guard isGathering else { return nil }
    // How long the client may be silent is its exchange's business.
    return now + .seconds(1)
  }
}
