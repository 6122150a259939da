import Harness
import JSON
import Matrix
import Processes
import Time

/// Does what happens from outside while a client reads: stops its run, opens its stream anew, ends the gateway.
actor MatrixMeddler {
  /// From the gateway's word that the stream is open until something happens: the first events are with the client then.
  private static let pause = Duration.milliseconds(250)
  /// How long after its opening something may still happen to a stream: the backend goes on a second later.
  private static let lateness = Nanoseconds.seconds(4)
  /// How long a stream may take to open.
  private static let patience = Nanoseconds.seconds(8)

  private let stage: MatrixStage
  private let gateway: MatrixGateway
  private let action: Behaviour.Action
  private let job: JSONObject
  private let target: MatrixTarget
  private let moment: SharedMoment?
  private var isOver = false
  /// Whether it happened too late for this client, because others took too long to come.
  private(set) var wasTooLate = false

  /// - Parameter moment: of all cells that share the gateway.
  init(
    stage: MatrixStage, gateway: MatrixGateway, action: Behaviour.Action, job: JSONObject, target: MatrixTarget,
    moment: SharedMoment?
  ) {
    (self.stage, self.gateway, self.action, self.job) = (stage, gateway, action, job)
    (self.target, self.moment) = (target, moment)
  }

  /// The client has its answer: nothing is to be waited for.
  func stopWaiting() { isOver = true }

  func act() async throws {
    switch action {
    case .none, .cutClient, .finishFirst: return
    case .cancel, .replace, .ask, .drain, .kill, .loseStore: break
    }
    let stream = await opened()
    let openedAt = SystemClock.now
    if let moment {
      try await moment.arrive()
      // A gateway that drains waits for nothing.
      wasTooLate = isOver || (action != .drain && SystemClock.now - openedAt > Self.lateness)
      return
    }
    guard let stream else { return }
    try? await Task.sleep(for: Self.pause)
    switch action {
    case .none, .cutClient, .finishFirst: break
    case .cancel:
      let answer = await send("DELETE", "/api/agents/run/\(stream)")
      guard answer.status == 204 else { throw MatrixFailure("stopping the run got the status \(answer.status)") }
    case .replace:
      let second = open("GET", target.path)
      // Until both have said so: what two loops log in the same moment may come in any order.
      let deadline = SystemClock.now + Self.patience
      while !isOver || gateway.streams(of: target.mark).first?.outcome == nil, SystemClock.now < deadline {
        try? await Task.sleep(for: .milliseconds(20))
      }
      second.hangUp()
    case .ask:
      let answer = await send("GET", target.path)
      guard answer.status == 200, !answer.events.isEmpty else {
        throw MatrixFailure("the same request got the status \(answer.status) and \(answer.events.count) events")
      }
    case .drain, .kill, .loseStore: try SharedMoment.perform(action, on: gateway)
    }
  }

  /// The client's stream, once the gateway has opened it.
  private func opened() async -> String? {
    let deadline = SystemClock.now + Self.patience
    while SystemClock.now < deadline, !isOver {
      if let stream = gateway.streams(of: target.mark).first { return stream.id }
      try? await Task.sleep(for: .milliseconds(10))
    }
    return nil
  }

  private func send(_ method: String, _ path: String) async -> ClientResult { await open(method, path).result() }

  /// A request with the fields that the client's has.
  private func open(_ method: String, _ path: String) -> LiveStream {
    let members = job["headers"]?.object?.members ?? []
    var fields = members.compactMap { member in
      member.value.string.map { Script.Field(member.name, $0) }
    }
    fields.append(Script.Field("Accept", "text/event-stream"))
    return stage.clients.open(ClientRequest(method, path, fields: fields), from: gateway.address)
  }
}
