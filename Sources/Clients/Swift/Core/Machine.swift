/// The whole behaviour of one stream: no clock, no socket; bytes and times come in, decisions go out.
///
/// Every input names the time in seconds of any steady clock. Inputs about a response also name its exchange; those of
/// an exchange that is over are ignored.
package struct Machine {
  /// Where a stream is.
  package enum Phase { case idle, pause, send, head, body, refusal, closed }

  /// Something that the shell must do or report.
  package enum Effect {
    case state(StreamState)
    /// The address of the DELETE.
    case cancel(String)
  }

  /// How the stream ends if nothing better comes of the next request.
  struct Ending {
    var outcome: String
    var reason: String
    var end: [String: JSONValue]?
  }

  package static let resumedEnds: Set = ["draining", "client_stalled", "gateway_error"]
  private static let refusalWait = 5.0

  let options: StreamOptions
  let url: String
  let isSafe: Bool
  package internal(set) var phase: Phase = .idle
  package internal(set) var exchange = 0
  package var effects: [Effect] = []
  package internal(set) var result: StreamResult?
  /// The stream is over, and its response is about to be: reading on makes the connection reusable.
  var drains = false
  var bytes = 0
  package internal(set) var streamID: String?
  package internal(set) var mode: String?
  /// Where the server says that the stream is kept.
  var named: String?

  var backoff: Backoff
  var clocks = Clocks()
  var dead: DeadRule
  let classifier: Classifier
  var books: Books
  var delivery: Delivery
  var parser: EventParser
  var attempts = 0
  var opened = false
  var resumesKept = false
  var asked401 = false
  var graceful = false
  var wasGraceful = false
  var isForeign = false
  var candidate: String?
  var candidateNamed: String?
  var announced = false
  var wasLate = false
  var cancelling = false
  var isPaused = false
  var fallback: Ending?
  var responseHead: Head?
  var refusal: [UInt8] = []
  var retryAfter: Double?
  var terminal: Meaning.Terminal?
  var failed = false
  var lastWasError = false
  var isCompleting = false
  var detail: [String: JSONValue]?
  var end: [String: JSONValue]?

  var isFeed: Bool { options.profile == .feed }
  package var isOver: Bool { phase == .closed }
  /// Enough is read ahead: read nothing more until something was taken.
  package var isFull: Bool { delivery.isFull }
  var hasItems: Bool { delivery.hasItems }
  /// Counted events so far.
  package var events: Int { books.counted }
  /// The status of the last response; nil if there was none.
  package var lastStatus: Int? { responseHead?.status }
  /// When `tick` must be called at the latest.
  package var deadline: Double? { isOver ? nil : clocks.deadline }
  /// The id of the last event that the consumer took.
  package var lastEventID: String { delivery.lastTakenID }

  package init(method: String, url: String, options: StreamOptions) {
    self.options = options
    self.url = url
    isSafe = ["GET", "HEAD"].contains(method.uppercased())
    let retry = options.retry
    backoff = Backoff(
      base: retry.base.inSeconds, maximum: retry.maximum.inSeconds,
      attempts: options.profile == .feed ? nil : retry.attempts, random: retry.random)
    dead = DeadRule(options.deadTimeout)
    classifier = Classifier(completionEvents: options.completionEvents)
    books = Books(given: options.lastEventID)
    delivery = Delivery(options)
    parser = EventParser(maximumEventBytes: options.maximumEventBytes)
  }

  /// The next message for the consumer, or nil.
  package mutating func take(_ now: Double) -> Message? { delivery.take(&clocks, now) }

  /// Whether the last message taken is one of the gateway's own events.
  package var tookOwn: Bool { delivery.tookOwn }

  /// Begins. The first `plan` follows at once.
  package mutating func start(_ now: Double) {
    guard phase == .idle else { return }
    if let timeout = options.timeout { clocks.set(.total, now + timeout.inSeconds) }
    phase = .send
  }

  /// The request to send now. Only in phase `send`.
  package mutating func plan(_ now: Double) -> RequestPlan {
    phase = .head
    exchange += 1
    attempts += 1
    responseHead = nil
    clocks.set(.head, now + options.headTimeout.inSeconds)
    let kept = resumesKept ? streamID : nil
    var address = kept.map(keptAddress) ?? url
    // Compression holds events back in many servers.
    var headers = [
      (name: "Accept", value: "text/event-stream"), ("Accept-Encoding", "identity"), ("Cache-Control", "no-store"),
    ]
    switch options.optIn {
    case .header: headers.append(("Prefer", "stream-end"))
    case .query: address = Addresses.with(address, "stream_end", "1")
    case .off: break
    }
    if !books.lastID.isEmpty, Addresses.fitsField(books.lastID) {
      headers.append(("Last-Event-ID", books.lastID))
    } else if !books.lastID.isEmpty {
      address = Addresses.with(address, "last_event_id", books.lastID)
    }
    if let key = options.idempotencyKey, kept == nil { headers.append(("Idempotency-Key", key)) }
    return RequestPlan(
      exchange: exchange, attempt: attempts, isOriginal: kept == nil, url: address, headers: headers,
      isAtStreamPath: kept != nil)
  }

  private func keptAddress(_ id: String) -> String {
    if options.streamPath == nil, let named { return named }
    return Addresses.atOrigin(of: url, options.streamPath ?? "/fermata/streams/{id}", id)
  }

  /// The head of a response came.
  package mutating func head(_ exchange: Int, _ now: Double, _ head: Head, retryAfter: Double?) {
    guard exchange == self.exchange, phase == .head, !(100..<200).contains(head.status) else { return }
    responseHead = head
    clocks.clear(.head)
    self.retryAfter = retryAfter
    if head.status == 204 {
      nothingMore(head)
    } else if head.isEventStream {
      open(head, now)
    } else {
      phase = .refusal
      refusal = []
      clocks.set(.refusal, now + min(Self.refusalWait, options.headTimeout.inSeconds))
    }
  }

  /// A piece of the body came.
  package mutating func data(_ exchange: Int, _ now: Double, _ piece: [UInt8]) {
    guard exchange == self.exchange, !piece.isEmpty else { return }
    if phase == .refusal {
      refusal += piece.prefix(Refusal.limit - refusal.count)
      if refusal.count >= Refusal.limit { refused(now) }
    } else if phase == .body {
      bytes += piece.count
      clocks.signOfLife()
      read(parser.feed(piece), now)
      guard phase == .body, exchange == self.exchange else { return }
      expectLife(now)
      if isFull { clocks.pause(now) }
    }
  }

  /// The response ended: with its framing complete (`clean`), or cut. Or no response came at all.
  package mutating func over(_ exchange: Int, _ now: Double, clean: Bool, _ message: String = "", tooSlow: Bool = false)
  {
    guard exchange == self.exchange else { return }
    switch phase {
    case .head: tryAgain(now, nil, message.isEmpty ? "the connection was closed without a response" : message)
    case .refusal: refused(now)
    case .body:
      // In a feed a half event comes again; nobody takes it for a whole one.
      if clean, !isFeed { read(parser.finish(), now) }
      guard phase == .body, exchange == self.exchange else { return }
      bodyOver(now, clean: clean, message, cutOutcome: tooSlow ? "consumer_too_slow" : "cut")
    default: break
    }
  }

  /// The time of `deadline` has come.
  package mutating func tick(_ now: Double) {
    for name in clocks.due(now) where !isOver { passed(name, now) }
  }

  /// The caller leaves: nothing more is delivered.
  package mutating func close() {
    guard !isOver else { return }
    delivery.drop()
    finish("aborted", verified: false, "the caller closed the stream")
  }

  /// The caller's own code failed: there is no request to send.
  mutating func fail(_ message: String) {
    if !isOver { finish("no_stream", verified: false, message) }
  }

  /// The caller stops the run: once, and as soon as its id is known.
  package mutating func cancel(_ now: Double) {
    guard !cancelling, !isOver else { return }
    cancelling = true
    if opened { sendCancel(now) }
  }

  mutating func sendCancel(_ now: Double) {
    guard let name = options.runID ?? streamID else {
      close()
      return
    }
    clocks.set(.cancel, now + options.cancelWait.inSeconds)
    effects.append(.cancel(Addresses.atOrigin(of: url, options.runPath, name)))
    goOn(now)
  }

  /// Gives the connection up until `goOn`, where the stream can be resumed. False if it can't: nothing changes then.
  package mutating func pause(_ now: Double) -> Bool {
    switch phase {
    case .pause:
      clocks.clear(.pause)
    case .head where resumesKept, .body where wayOn != nil && !cancelling:
      if phase == .body { planResume(Ending(outcome: "cut", reason: "the stream was paused")) }
      exchange += 1
      clocks.clear(.head, .dead, .end, .late, .refusal)
      phase = .pause
    default:
      return isPaused
    }
    if !isPaused { effects.append(.state(.paused)) }
    isPaused = true
    return true
  }

  /// Ends a pause, be it the caller's or the one before another try.
  package mutating func goOn(_ now: Double) {
    isPaused = false
    guard phase == .pause else { return }
    clocks.clear(.pause)
    phase = .send
  }

  private mutating func passed(_ name: Clocks.Name, _ now: Double) {
    switch name {
    case .pause: phase = .send
    case .head:
      exchange += 1
      tryAgain(now, nil, "no response came in time", timedOut: true)
    case .refusal: refused(now)
    case .late:
      wasLate = true
      effects.append(.state(.late))
    case .dead: bodyOver(now, clean: false)
    case .end:
      delivery.release(&clocks)
      finish(plainOutcome("ended"), verified: false, "nothing more came after the end of the answer")
    case .order: delivery.release(&clocks)
    case .cancel: finish("aborted", verified: false, "the run was cancelled, the server did not say how it ended")
    case .total: finish("timeout", verified: false, "the time for the whole stream is over")
    }
  }
}
