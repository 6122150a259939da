import Matrix

/// A gateway for all cells of a behaviour that ends it, or takes something from it: they are played at the same time, and it
/// happens once, when every client is there.
actor SharedMoment {
  nonisolated let gateway: MatrixGateway
  private let action: Behaviour.Action
  /// From the last client's coming until it happens: the first events are with that client then.
  private let pause: Duration
  private var missing: Int
  private var waiting: [CheckedContinuation<Void, Never>] = []

  init(gateway: MatrixGateway, action: Behaviour.Action, clients: Int, pause: Duration = .milliseconds(300)) {
    (self.gateway, self.action, self.pause, missing) = (gateway, action, pause, clients)
  }

  /// One more client has its stream, or will have none. Returns when it has happened.
  func arrive() async throws {
    missing -= 1
    if missing > 0 {
      await withCheckedContinuation { waiting.append($0) }
      return
    }
    defer {
      for each in waiting { each.resume() }
      waiting = []
    }
    try? await Task.sleep(for: pause)
    try Self.perform(action, on: gateway)
  }

  static func perform(_ action: Behaviour.Action, on gateway: MatrixGateway) throws {
    switch action {
    case .drain: gateway.drain()
    case .kill: try gateway.kill()
    case .loseStore: gateway.loseStore()
    case .none, .cutClient, .finishFirst, .cancel, .replace, .ask: break
    }
  }
}
