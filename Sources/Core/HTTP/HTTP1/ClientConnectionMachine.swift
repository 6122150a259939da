/// Decides for a client's HTTP/1.1 connection what its input belongs to, whether it goes on after an answer, and how it ends.
///
/// Knows no socket and no clock. Requests that come early wait until the answer before them is complete.
package struct ClientConnectionMachine: ~Copyable {
  private enum State: ~Copyable {
    /// Waits for a request's head. → exchanging, closing, closed
    case awaitingHead
    /// A request is being answered. → answered, closed
    case exchanging(Request)
    /// The answer is complete; the socket has not taken all of it. → awaitingHead, closing, closed
    case answered(Request, AfterAnswer)
    /// The last answer is on its way; waits for the peer's end.
    case closing
    case closed
  }

  private struct Request {
    /// Whether more of the request's body is to come.
    var hasBody: Bool
    /// Whether the connection ends after the answer.
    var closes: Bool
    /// Whether the client was found to have ended its side while nothing was read from it.
    var peerEndWasSeen = false
  }

  /// Where the connection is.
  package enum Phase {
    case awaitingHead
    case exchanging
    case answered
    /// Nothing is read or answered any more.
    case over
  }

  /// What input belongs to.
  package enum InputUse {
    case head
    case body
    /// The next request, which has to wait.
    case nextRequest
    case nothing
  }

  /// What follows when the socket has taken the whole answer.
  package enum AfterAnswer: Equatable {
    case keep
    case linger
    /// The answer was cut. With `resets` only a reset of the connection shows it.
    case abort(resets: Bool)
  }

  /// What to do with the connection.
  package enum Action: Equatable {
    case nothing
    /// Wait for the next request's head.
    case awaitRequest
    /// Read the next request, which has come already.
    case readNextRequest
    /// Tell the exchange that the client sends no more; it may be listening still.
    case halfClosed
    /// Close at once, then tell the exchange that its client is gone.
    case abandon
    case close
    /// Send what is queued, then close. With `resets` the close is a reset.
    case linger(resets: Bool)
  }

  /// What holds in every state.
  private struct Facts {
    var requests = 0
    var peerHasFinished = false
  }

  private var state: State
  private var facts: Facts

  package init() {
    self.init(.awaitingHead, Facts())
  }

  private init(_ state: consuming State, _ facts: Facts) {
    self.state = state
    self.facts = facts
  }

  /// Requests that came on the connection.
  package var requests: Int { facts.requests }
  /// Whether the client's end was read.
  package var peerHasFinished: Bool { facts.peerHasFinished }

  // MARK: - Where it is

  package var phase: Phase {
    switch state {
    case .awaitingHead: .awaitingHead
    case .exchanging: .exchanging
    case .answered: .answered
    case .closing: .over
    case .closed: .over
    }
  }

  package var inputUse: InputUse {
    switch state {
    case .awaitingHead: .head
    case .exchanging(let request): request.hasBody ? .body : .nextRequest
    case .answered(let request, _): request.hasBody ? .body : .nextRequest
    case .closing: .nothing
    case .closed: .nothing
    }
  }

  /// Whether the client has had an answer on this connection.
  package var wasServed: Bool { requests > (phase == .exchanging ? 1 : 0) }

  /// Whether the connection ends after the answer that is being written.
  ///
  /// - Parameters:
  ///   - endsBody: whether the end of the connection is what ends the body.
  ///   - mayContinue: whether the gateway lets the connection go on. It may have begun to leave since the request came.
  package func willClose(endsBody: Bool, mayContinue: Bool = true) -> Bool {
    switch state {
    case .exchanging(let request): request.closes || request.hasBody || endsBody || !mayContinue
    case .awaitingHead: true
    case .answered: true
    case .closing: true
    case .closed: true
    }
  }

  // MARK: - Requests

  /// A request's head is complete.
  ///
  /// - Parameters:
  ///   - hasBody: whether a body follows, which may be empty.
  ///   - limit: requests that one connection may bring.
  ///   - mayContinue: whether the request, and the gateway, let the connection go on.
  package mutating func requestCame(hasBody: Bool, limit: Int, mayContinue: Bool) {
    var facts = facts
    switch consume self.state {
    case .awaitingHead:
      facts.requests += 1
      let closes = !mayContinue || facts.requests >= limit || facts.peerHasFinished
      self = Self(.exchanging(Request(hasBody: hasBody, closes: closes)), facts)
    case let other: self = Self(other, facts)
    }
  }

  /// The last byte of the request's body came.
  package mutating func bodyEnded() {
    let facts = facts
    switch consume self.state {
    case .exchanging(var request):
      request.hasBody = false
      self = Self(.exchanging(request), facts)
    case .answered(var request, let next):
      request.hasBody = false
      self = Self(.answered(request, next), facts)
    case let other: self = Self(other, facts)
    }
  }

  // MARK: - Answers

  /// What comes next is an error of the gateway's own, after which nothing on the connection can be trusted.
  ///
  /// - Returns: whether there was no request that it could answer: the answer has yet to be opened.
  package mutating func refused() -> Bool {
    let facts = facts
    switch consume self.state {
    case .awaitingHead:
      self = Self(.exchanging(Request(hasBody: false, closes: true)), facts)
      return true
    case .exchanging(var request):
      request.closes = true
      self = Self(.exchanging(request), facts)
    case let other: self = Self(other, facts)
    }
    return false
  }

  /// The answer's head was sent: whether the connection goes on is decided, by what `willClose` was told.
  package mutating func headWasSent(endsBody: Bool, mayContinue: Bool = true) {
    let facts = facts
    switch consume self.state {
    case .exchanging(var request):
      request.closes = request.closes || request.hasBody || endsBody || !mayContinue
      self = Self(.exchanging(request), facts)
    case let other: self = Self(other, facts)
    }
  }

  /// The answer's last byte is about to be written.
  ///
  /// - Returns: what follows when the socket has taken it; `nil` when there is no answer.
  package mutating func answerEnded(isCut: Bool, endsBody: Bool) -> AfterAnswer? {
    let facts = facts
    switch consume self.state {
    case .exchanging(let request):
      let closes = request.closes || isCut || request.hasBody
      let next: AfterAnswer = isCut ? .abort(resets: endsBody) : closes ? .linger : .keep
      self = Self(.answered(request, next), facts)
      return next
    case let other: self = Self(other, facts)
    }
    return nil
  }

  /// The socket has taken the whole answer.
  ///
  /// - Parameter hasNext: whether the next request has come already.
  package mutating func answerWasTaken(hasNext: Bool, isDraining: Bool) -> Action {
    let facts = facts
    switch consume self.state {
    case .answered(_, .keep):
      // From a client that has ended its side no more requests can come.
      if !hasNext, isDraining || facts.peerHasFinished {
        self = Self(.closing, facts)
        return .linger(resets: false)
      }
      self = Self(.awaitingHead, facts)
      return hasNext ? .readNextRequest : .awaitRequest
    case .answered(_, .linger):
      self = Self(.closing, facts)
      return .linger(resets: false)
    case .answered(_, .abort(let resets)):
      self = Self(.closing, facts)
      return .linger(resets: resets)
    case let other: self = Self(other, facts)
    }
    return .nothing
  }

  // MARK: - The connection's end

  /// The client's end was read.
  package mutating func peerFinished() -> Action {
    var facts = facts
    facts.peerHasFinished = true
    switch consume self.state {
    case .awaitingHead:
      self = Self(.closed, facts)
      return .close
    case .exchanging(var request):
      // Inside a request's body there is no more to come; elsewhere it may be a client that is still listening.
      if request.hasBody {
        self = Self(.closed, facts)
        return .abandon
      }
      request.closes = true
      self = Self(.exchanging(request), facts)
      return .halfClosed
    // The answer is complete: the client has that before the connection ends.
    case let other: self = Self(other, facts)
    }
    return .nothing
  }

  /// The client's end stands behind input that is not read: the next request, or more of this one's body.
  package mutating func peerEndWasSeen() -> Action {
    let facts = facts
    switch consume self.state {
    case .exchanging(var request):
      let isNew = !request.peerEndWasSeen
      request.peerEndWasSeen = true
      self = Self(.exchanging(request), facts)
      return isNew ? .halfClosed : .nothing
    case let other: self = Self(other, facts)
    }
    return .nothing
  }

  /// The client's connection has failed.
  package mutating func peerFailed() -> Action {
    let facts = facts
    switch consume self.state {
    case .awaitingHead:
      self = Self(.closed, facts)
      return .close
    case .answered:
      self = Self(.closed, facts)
      return .close
    case .exchanging:
      self = Self(.closed, facts)
      return .abandon
    case let other: self = Self(other, facts)
    }
    return .nothing
  }

  /// The connection is to be closed at once, for a reason of the gateway's.
  ///
  /// - Returns: false when it is closed, or being closed, already.
  package mutating func closes() -> Bool {
    guard phase != .over else { return false }
    self.state = .closed
    return true
  }
}
