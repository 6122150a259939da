/// What the events of a response mean, and what follows from its end.
extension Machine {
  mutating func read(_ items: [EventParser.Item], _ now: Double) {
    let exchange = exchange
    for item in items {
      guard phase == .body, self.exchange == exchange else { return }
      switch item {
      case .block(let block): read(block, now)
      case .comment: dead.comment(now)
      case .retry(let milliseconds): backoff.serverAsks(milliseconds: milliseconds)
      case .tooLarge:
        finish(
          "event_too_large", verified: false, "an event has more than \(options.maximumEventBytes) bytes")
      }
    }
  }

  private mutating func read(_ block: EventParser.Block, _ now: Double) {
    guard block.data != nil else {
      if let id = block.id, !isForeign {
        books.lastID = id
        delivery.idChanged(id)
      }
      return
    }
    let meaning = classifier.classify(block, graceful: graceful, streamID: candidate)
    let isShown = options.deliversGatewayEvents && meaning.kind != .event && (!isForeign || meaning.kind == .reset)
    if isShown { delivery.addOwn(event(block, books.lastID), &clocks) }
    switch meaning.kind {
    case .event: take(block, meaning, now)
    case .end: streamEnd(meaning.payload ?? [:], now)
    case .error: detail = meaning.payload
    case .reset: reset(meaning.payload ?? [:])
    case .ready:
      expectFirstToken(now)
      guard !announced, !isForeign else { return }
      announced = true
      if !isShown { _ = delivery.add(event(block, books.lastID), meaning, &clocks, now) }
    }
  }

  private func event(_ block: EventParser.Block, _ id: String) -> ServerEvent {
    ServerEvent(type: block.type.isEmpty ? "message" : block.type, data: block.data ?? "", id: id)
  }

  private mutating func take(_ block: EventParser.Block, _ meaning: Meaning, _ now: Double) {
    guard !isForeign else {
      finishFallback("the server answered with another stream", nil)
      return
    }
    let event = event(block, block.id ?? books.lastID)
    guard !books.isRepeat(event, hasID: block.id != nil, graceful: graceful) else { return }
    books.lastID = event.id
    books.counted += 1
    backoff.progress()
    clocks.clear(.late)
    // What the filter leaves out ends nothing.
    guard delivery.add(event, meaning, &clocks, now) else { return }
    lastWasError = meaning.isError
    note(meaning, now)
  }

  private mutating func note(_ meaning: Meaning, _ now: Double) {
    if let found = meaning.terminal, terminal != .hard {
      terminal = found
      clocks.clear(.end)
    }
    failed = failed || meaning.failed
    guard let terminal, !isFeed else { return }
    if !isCompleting {
      isCompleting = true
      effects.append(.state(.completing))
    }
    if terminal == .soft || graceful {
      clocks.set(.end, now + options.endWait.inSeconds)
    } else if !clocks.has(.end) {
      clocks.set(.end, now + options.hardEndWait.inSeconds)
    }
  }

  private mutating func reset(_ payload: [String: JSONValue]) {
    let reason = payload["reason"]?.string ?? "unknown"
    isForeign = false
    if let candidate {
      if candidate != streamID { named = candidateNamed }
      streamID = candidate
      mode = "graceful"
    }
    books.reset(reason: reason)
    terminal = nil
    failed = false
    lastWasError = false
    detail = nil
    isCompleting = false
    clocks.clear(.end)
    delivery.reset(
      StreamReset(reason: reason, oldest: payload["oldest"]?.string, streamID: streamID ?? ""), &clocks)
  }

  private mutating func streamEnd(_ end: [String: JSONValue], _ now: Double) {
    guard !isForeign else {
      finishFallback("the server answered with another stream", nil)
      return
    }
    drains = true
    self.end = end
    let reason = end["reason"]?.string ?? ""
    guard let said = end["outcome"]?.string else {
      finish(plainOutcome("ended"), verified: false, reason.isEmpty ? "the server ended the stream" : reason)
      return
    }
    let agreement = books.agreement(end)
    let last = end["lastEventId"]?.string ?? ""
    let tailIsMissing = agreement == .fewer && !last.isEmpty && last != books.lastID
    let isResumed = Self.resumedEnds.contains(said)
    if end["resumable"] == .bool(true), said != "replaced_by_new_stream", isResumed || tailIsMissing,
      resume(now, Ending(outcome: isResumed ? said : "missing_events", reason: reason, end: end))
    {
      return
    }
    if said == "completed", [.fewer, .differs].contains(agreement) || books.isLossy && agreement != .agrees {
      finish("missing_events", verified: false, "the server sent more or other events than came")
    } else {
      finish(said, verified: agreement == .agrees, reason)
    }
  }

  mutating func bodyOver(_ now: Double, clean: Bool, _ message: String = "", cutOutcome: String = "cut") {
    clocks.clear(.dead, .end, .late)
    delivery.release(&clocks)
    let cut = message.isEmpty ? "the stream was cut" : message
    let how = clean ? "the stream ended without stream_end" : cut
    if isForeign {
      finishFallback("the server answered with another stream", nil)
    } else if isFeed {
      if !resume(now, Ending(outcome: cutOutcome, reason: how)) {
        finish(clean ? "ended" : cutOutcome, verified: false, how)
      }
    } else if terminal != nil && (clean || !graceful) || clean && !graceful {
      let outcome = plainOutcome(lastWasError ? "upstream_error" : "ended")
      finish(outcome, verified: false, "the server ended the stream")
    } else {
      let outcome = graceful && terminal == .hard ? plainOutcome(cutOutcome) : cutOutcome
      if !resume(now, Ending(outcome: outcome, reason: how)) { finish(outcome, verified: false, how) }
    }
  }

  func plainOutcome(_ withoutTerminal: String) -> String {
    terminal == nil ? withoutTerminal : failed ? "upstream_error" : "completed"
  }

  /// Where the stream goes on: true for the place where it is kept, false for its own address; nil for nowhere.
  var wayOn: Bool? {
    guard options.resume != .off, !isForeign else { return nil }
    let canRepeat = isSafe && !books.lastID.isEmpty
    if isFeed { return isSafe || options.idempotencyKey != nil ? false : nil }
    guard wasGraceful, let streamID, options.resume != .sameURL else { return canRepeat ? false : nil }
    if options.resume == .automatic || named != nil { return true }
    // A gateway that keeps nothing: its ids mean nothing to the backend.
    return canRepeat && GatewayID(books.lastID) == nil && !books.lastID.hasPrefix(streamID + ".") ? false : nil
  }

  /// Plans a request that goes on where this response ended. False if there is none.
  private mutating func resume(_ now: Double, _ ending: Ending) -> Bool {
    guard wayOn != nil, let pause = backoff.next() else { return false }
    planResume(ending)
    wait(now, pause, error(ending.outcome, ending.reason, nil))
    // Its end is waited for no longer than the cancellation allows.
    if cancelling { goOn(now) }
    return true
  }

  mutating func planResume(_ ending: Ending) {
    resumesKept = wayOn ?? false
    fallback = ending
    end = nil
    delivery.release(&clocks)
  }

  mutating func wait(_ now: Double, _ pause: Double, _ error: FermataError) {
    exchange += 1
    clocks.clear(.head, .dead, .end, .late, .refusal)
    clocks.set(.pause, now + pause)
    phase = .pause
    drains = false
    effects.append(.state(.reconnecting(after: .seconds(pause), error: error)))
  }

  mutating func expectLife(_ now: Double) {
    if let seconds = dead.seconds(graceful: graceful) {
      clocks.set(.dead, now + seconds)
    } else {
      clocks.clear(.dead)
    }
  }

  mutating func expectFirstToken(_ now: Double) {
    guard let timeout = options.firstTokenTimeout, books.counted == 0, !wasLate else { return }
    clocks.set(.late, now + timeout.inSeconds)
  }

  mutating func finishFallback(_ message: String, _ status: Int?, _ refusal: FermataError? = nil) {
    let ending = fallback ?? Ending(outcome: "cut", reason: message)
    end = ending.end
    var error = error(ending.outcome, "\(ending.reason); \(message)", status)
    if let refusal {
      error.retryAfter = refusal.retryAfter
      error.detail = refusal.detail ?? error.detail
    }
    finish(ending.outcome, verified: false, ending.reason, error)
  }

  private func error(_ outcome: String, _ reason: String, _ status: Int?) -> FermataError {
    FermataError(
      code: outcome, message: detail?["error"]?.object?["message"]?.string ?? reason, status: status, retryAfter: nil,
      detail: detail.map { .object($0) }, isRetryable: Outcomes.retryable.contains(outcome))
  }

  mutating func finish(_ outcome: String, verified: Bool, _ reason: String, _ error: FermataError? = nil) {
    delivery.release(&clocks)
    phase = .closed
    if !drains { exchange += 1 }
    let outcome = cancelling && Outcomes.unsaid.contains(outcome) ? "aborted" : outcome
    let isQuiet =
      Outcomes.quiet.contains(outcome) && !(outcome == "ended" && options.requiresTerminal)
      || outcome == "cancelled" && cancelling
    result = StreamResult(
      outcome: outcome, isVerified: verified, reason: reason, events: books.counted, bytes: bytes,
      lastEventID: outcome == "aborted" ? delivery.lastTakenID : books.lastID, streamID: streamID,
      runID: end?["runId"]?.string ?? options.runID ?? streamID, mode: mode, attempts: attempts, end: end,
      error: isQuiet ? nil : error ?? self.error(outcome, reason, nil))
    effects.append(.state(.closed))
  }
}
