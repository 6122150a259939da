/// What becomes of a request: who is asked, who answers it, and what follows when its client leaves.
///
/// Does nothing itself: it hands out the payload of its state, which its owner acts on.
package struct ExchangeMachine<Asker: AnyObject, Answerer>: ~Copyable {
  private enum State: ~Copyable {
    /// Nobody serves the request yet. → inRun, asking, answering, over
    case routing
    /// The request is about a run, which is being looked for. → routing, answering, over
    case inRun
    /// Backends are asked for a good response. → answering, over
    case asking(Asker)
    /// → routing, answering (by another), over
    case answering(Answerer)
    case over
  }

  /// The state without its payload.
  package enum Phase {
    case routing
    case inRun
    case asking
    case answering
    case over
  }

  /// What the end of an exchange brings with it.
  package enum Action {
    case nothing
    /// Nothing more is wanted of the backends.
    case cancel(Asker)
    /// Nobody takes what it answers.
    case dismiss(Answerer)
  }

  private var state: State

  package init() {
    self.init(.routing)
  }

  private init(_ state: consuming State) {
    self.state = state
  }

  package var phase: Phase {
    switch state {
    case .routing: .routing
    case .inRun: .inRun
    case .asking: .asking
    case .answering: .answering
    case .over: .over
    }
  }

  /// Who asks backends, as long as nobody answers.
  package var asker: Asker? {
    switch state {
    case .asking(let asker): asker
    case .routing: nil
    case .inRun: nil
    case .answering: nil
    case .over: nil
    }
  }

  /// Who answers.
  package var answerer: Answerer? {
    switch state {
    case .answering(let answerer): answerer
    case .routing: nil
    case .inRun: nil
    case .asking: nil
    case .over: nil
    }
  }

  // MARK: - Events

  /// The run that the request is about has to be looked for.
  package mutating func seeksRun() {
    switch consume self.state {
    case .routing: self = Self(.inRun)
    case let other: self = Self(other)
    }
  }

  /// Backends are about to be asked.
  package mutating func asks(_ asker: Asker) {
    switch consume self.state {
    case .routing: self = Self(.asking(asker))
    case let other: self = Self(other)
    }
  }

  /// It is known who answers, or that somebody else does from here on.
  package mutating func isAnswered(by answerer: Answerer) {
    switch consume self.state {
    case .over: self = Self(.over)
    case _: self = Self(.answering(answerer))
    }
  }

  /// Whoever was to serve the request has no use for it: it is given to another.
  package mutating func goesBack() {
    switch consume self.state {
    case .over: self = Self(.over)
    case .asking(let asker): self = Self(.asking(asker))
    case .routing: self = Self(.routing)
    case .inRun: self = Self(.routing)
    case .answering: self = Self(.routing)
    }
  }

  /// The answer is complete, or there is none to wait for.
  package mutating func isOver() { self = Self(.over) }

  /// The gateway gives an answer of its own. Whoever was to give one and has found that it can't knows.
  package mutating func isRefused() -> Action {
    switch consume self.state {
    case .asking(let asker):
      self = Self(.over)
      return .cancel(asker)
    case _:
      self = Self(.over)
      return .nothing
    }
  }

  /// The client does not want its answer any more.
  package mutating func ends() -> Action {
    switch consume self.state {
    case .asking(let asker):
      self = Self(.over)
      return .cancel(asker)
    case .answering(let answerer):
      self = Self(.over)
      return .dismiss(answerer)
    case _:
      self = Self(.over)
      return .nothing
    }
  }
}
