/// What follows from the head of a response, or from none.
extension Machine {
  mutating func nothingMore(_ head: Head) {
    if let outcome = head["x-stream-outcome"] {
      if outcome == "completed", books.isLossy {
        finish("missing_events", verified: false, "events of this stream are not stored any more")
      } else {
        finish(outcome, verified: true, "the server has nothing more")
      }
    } else if !opened {
      finish("empty", verified: false, "the server has nothing to send")
    } else {
      finish(isFeed ? "ended" : plainOutcome("ended"), verified: false, "the server has nothing more")
    }
  }

  mutating func open(_ head: Head, _ now: Double) {
    let id = head["x-stream-id"]
    let isGraceful = head["x-stream-mode"] == "graceful"
    asked401 = false
    if opened, !isFeed, wasGraceful, !isGraceful {
      finishFallback("the stream came back in another mode", nil)
      return
    }
    // At its own address the backend goes on from its own id, in a stream that counts for itself.
    let countsAnew = opened && options.resume == .named && !resumesKept && id != streamID
    isForeign = opened && wasGraceful && !isFeed && id != streamID && !countsAnew
    if opened { continueBooks(isGraceful, id, countsAnew) }
    graceful = isGraceful
    wasGraceful = wasGraceful || isGraceful
    let isFirst = !opened
    candidate = id
    candidateNamed = Addresses.named(head["x-stream-resume"], from: url)
    if !isForeign {
      named = candidateNamed ?? (id == streamID ? named : nil)
      streamID = id
      mode = head["x-stream-mode"]
    }
    opened = true
    parser = EventParser(maximumEventBytes: options.maximumEventBytes)
    dead.response()
    phase = .body
    expectLife(now)
    expectFirstToken(now)
    let info = StreamInfo(status: head.status, streamID: id, mode: head["x-stream-mode"], attempt: attempts)
    effects.append(.state(.opened(info)))
    if cancelling, isFirst { sendCancel(now) }
  }

  /// The books of a stream that goes on in another response.
  private mutating func continueBooks(_ isGraceful: Bool, _ id: String?, _ countsAnew: Bool) {
    books.reconnected()
    if countsAnew || isFeed && id != streamID {
      books.counted = 0
      books.base = 0
    } else if isGraceful, !wasGraceful {
      books.base = nil
    }
  }

  mutating func refused(_ now: Double) {
    let status = responseHead?.status ?? 0
    tryAgain(now, status, "the server answered with status \(status)")
  }

  mutating func tryAgain(_ now: Double, _ status: Int?, _ message: String, timedOut: Bool = false) {
    clocks.clear(.refusal, .head)
    if status == 401, options.headers != nil, !asked401 {
      asked401 = true
      phase = .send
      exchange += 1
      return
    }
    let error = refusalError(status, message, timedOut)
    if mayRepeat(status), let pause = backoff.next(retryAfter: status == nil ? nil : retryAfter) {
      wait(now, pause, error)
    } else if fallback != nil {
      finishFallback(message, status, error)
    } else {
      finish(timedOut ? "timeout" : "no_stream", verified: false, message, error)
    }
  }

  private func mayRepeat(_ status: Int?) -> Bool {
    if let status, !Outcomes.retryableStatuses.contains(status) { return false }
    if cancelling && !opened { return false }
    if status != nil, (retryAfter ?? 0) > options.retry.maximumRetryAfter.inSeconds { return false }
    if opened || isSafe || options.idempotencyKey != nil { return true }
    // Sending a POST again may start a second run, unless the server says that none was started.
    return (status == 429 || status == 503) && retryAfter != nil
  }

  private func refusalError(_ status: Int?, _ message: String, _ timedOut: Bool) -> FermataError {
    let said = Refusal(status == nil ? [] : refusal)
    return FermataError(
      code: said.code ?? (timedOut ? "timeout" : "no_stream"), message: said.message ?? message, status: status,
      retryAfter: status == nil ? nil : retryAfter.map { .seconds($0) }, detail: said.document,
      isRetryable: status.map { Outcomes.retryableStatuses.contains($0) } ?? true)
  }
}
