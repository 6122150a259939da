package import Time

/// Decides when spans are sent to their collector, and what becomes of them then.
///
/// One request is under way at a time. A batch is sent again only after an answer that asks for it: 429, 502, 503 or 504
/// (OTLP, "Failures"), not before `Retry-After` has passed.
package struct ExportMachine: Sendable {
  /// What is to be done.
  package enum Step: Equatable, Sendable {
    case nothing
    /// Takes a batch of at most so many spans, and sends it.
    case send(atMost: Int)
    /// Sends the same batch again.
    case sendAgain
    /// Gives up the request that is under way.
    case abandon
  }

  /// What has become of the batch.
  package enum Fate: Equatable, Sendable {
    case exported
    /// The collector does not want it, or was asked too often.
    case failed
    /// It is kept for another try.
    case kept
  }

  private enum State {
    /// → sending
    case idle(since: MonotonicTime)
    /// → idle, waiting
    case sending(until: MonotonicTime, tries: Int)
    /// → sending
    case waiting(until: MonotonicTime, tries: Int)
  }

  private var state: State

  package static let batchLimit = 512
  /// Spans wait so long for others.
  package static let pause = Nanoseconds.seconds(4)
  package static let timeout = Nanoseconds.seconds(10)
  /// How often a batch is sent at most.
  package static let tryLimit = 5
  /// The longest wait between two tries, whatever the collector asks for.
  private static let longestWait = Nanoseconds.seconds(60)

  package init(at now: MonotonicTime) {
    state = .idle(since: now)
  }

  /// Whether a batch is under way, or kept for another try.
  package var isBusy: Bool { if case .idle = state { false } else { true } }

  /// Says what is to be done now.
  ///
  /// - Parameters:
  ///   - waiting: spans in the queue.
  ///   - isLast: the process ends: nothing more comes.
  package mutating func nextStep(at now: MonotonicTime, waiting: Int, isLast: Bool = false) -> Step {
    switch state {
    case .idle(let since):
      guard waiting > 0, waiting >= Self.batchLimit || now - since >= Self.pause || isLast else {
        // Without any the wait begins with the first that comes.
        if waiting == 0 { state = .idle(since: now) }
        return .nothing
      }
      state = .sending(until: now + Self.timeout, tries: 1)
      return .send(atMost: Self.batchLimit)
    case .sending(let until, _): return now < until ? .nothing : .abandon
    case .waiting(let until, let tries):
      guard now >= until else { return .nothing }
      state = .sending(until: now + Self.timeout, tries: tries + 1)
      return .sendAgain
    }
  }

  /// The collector has answered.
  ///
  /// - Parameter retryAfter: what its `Retry-After` says.
  package mutating func answered(_ status: Int, retryAfter: Nanoseconds?, at now: MonotonicTime) -> Fate {
    guard case .sending(_, let tries) = state else { return .failed }
    if (200..<300).contains(status) {
      state = .idle(since: now)
      return .exported
    }
    guard [429, 502, 503, 504].contains(status), tries < Self.tryLimit else {
      state = .idle(since: now)
      return .failed
    }
    let wait = min(max(retryAfter ?? .zero, .seconds(1 << (tries - 1))), Self.longestWait)
    state = .waiting(until: now + wait, tries: tries)
    return .kept
  }

  /// There is no answer: the connection failed, or took too long.
  package mutating func failed(at now: MonotonicTime) -> Fate {
    state = .idle(since: now)
    return .failed
  }
}
