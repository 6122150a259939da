import Harness
import JSON
import Loop
import Matrix
import Processes
import Streams
import Time

/// One cell being played.
final class MatrixScene {
  struct Round {
    var finding: Finding
    var milliseconds = 0
    /// Whether it shows nothing and has to be played again.
    var isVoid = false
    var client: ClientWitness?
    var backend: BackendWitness?
    var gateway: GatewayWitness?
  }

  /// How long a client may read, and its program may take to say so. A browser takes a few jobs at a time, and an
  /// EventSource that asks again on its own takes seconds for each: others wait for their turn.
  private var deadline: Nanoseconds { .seconds(behaviour.patience) }
  private var grace: Nanoseconds { deadline + .seconds(20) }
  /// How long the gateway's last line about the cell may take after the client has its answer.
  private static let logDelay = Nanoseconds.seconds(4)

  private let stage: MatrixStage
  private let cell: CellID
  private let client: MatrixClient
  private let behaviour: Behaviour
  private let lane: AdapterLane
  private let judge: Judge
  /// What this cell shares with others in its first round.
  private var moment: SharedMoment?
  private let transport: MatrixTransport
  var rounds = 0

  init(
    stage: MatrixStage, cell: CellID, client: MatrixClient, behaviour: Behaviour, lane: AdapterLane,
    moment: SharedMoment?
  ) {
    self.moment = moment
    transport = MatrixTransport.named(cell.transport) ?? .direct
    (self.stage, self.cell, self.client, self.behaviour, self.lane) = (stage, cell, client, behaviour, lane)
    judge = Judge(client: client, variant: cell.mode, behaviour: behaviour, over: transport)
  }

  func play() async -> Round {
    guard behaviour.needs.isSubset(of: client.abilities) else { return Round(finding: Finding(.none)) }
    let began = SystemClock.now
    do {
      var round = try await play(at: stage.address(over: transport))
      round.milliseconds = Int((SystemClock.now - began).milliseconds)
      return round
    } catch let missing as MatrixMissing {
      return Round(finding: Finding(.missing, missing.description))
    } catch {
      return Round(finding: Finding(.failed, fault: .witness, "\(error)"))
    }
  }

  private func play(at address: SocketAddress) async throws -> Round {
    let mark = stage.register(behaviour.play(client.dialect))
    var target = MatrixTarget(path: "/\(cell.mode.rawValue)/\(behaviour.id)/\(mark)", mark: mark)
    var place = address
    var relay: CuttingRelay?
    var own: OwnGateway?
    let shared = moment
    // What happened to that gateway can't happen again.
    moment = nil
    switch behaviour.action {
    case .cutClient(let text):
      relay = try stage.relay(over: transport, to: address, cuttingBehind: text)
      place = relay?.address ?? address
    case .finishFirst: target = try await finishFirst(mark)
    case .drain, .kill, .loseStore:
      if shared == nil { own = try await OwnGateway.start(backend: stage.backend.url, for: behaviour.action) }
      place = shared?.gateway.address ?? own?.gateway.address ?? address
    case .none, .cancel, .replace, .ask: break
    }
    defer {
      relay?.stop()
      own?.stop()
    }
    var job = MatrixJob(client: client, behaviour: behaviour, variant: cell.mode)
      .object(at: place, over: transport, target, deadline: deadline)
    job["roots"] = transport.wire.isSecure ? .string(stage.roots) : .null
    let gateway = shared?.gateway ?? own?.gateway ?? stage.gateway
    let meddler = MatrixMeddler(
      stage: stage, gateway: gateway, action: behaviour.action, job: job, target: target, moment: shared)
    async let meddling: Void = meddler.act()
    let answer = await lane.ask(job, within: grace)
    await meddler.stopWaiting()
    try await meddling
    if await meddler.wasTooLate { return Round(finding: Finding(.none), isVoid: true) }
    switch answer {
    case .unsupported: return Round(finding: Finding(.none))
    case .missing(let why): return Round(finding: Finding(.missing, why))
    case .broken(let how): return Round(finding: Finding(.failed, fault: .witness, how))
    case .answer(let value): return await compare(try ClientWitness(parsing: value), mark, gateway)
    }
  }

  /// Reads a run to its end, in the client's place.
  ///
  /// - Returns: where to ask for what follows its last event.
  private func finishFirst(_ mark: String) async throws -> MatrixTarget {
    let request = ClientRequest(
      "GET", "/graceful/\(behaviour.id)/\(mark)",
      fields: [.init("Accept", "text/event-stream"), .init("Prefer", "stream-end")])
    let answer = await stage.clients.fetch(request, from: stage.gateway.address)
    guard let path = answer.head.value("X-Stream-Resume"), let last = answer.events.last(where: { $0.id != nil })?.id
    else { throw MatrixFailure("the first reader of the run got no resumable stream") }
    return MatrixTarget(path: path, mark: mark, lastEventID: last)
  }

  private func compare(_ seen: ClientWitness, _ mark: String, _ gateway: MatrixGateway) async -> Round {
    var gateway = transport.isBare ? GatewayWitness() : await gatewayWitness(of: mark, gateway, seen)
    let backend = await backendWitness(of: mark)
    let finding = judge.judge(client: seen, backend: backend, gateway: gateway)
    // The second stream of these is the runner's own.
    if behaviour.action == .replace || behaviour.action == .ask {
      gateway.streams = Array(gateway.streams.prefix(1))
    }
    return Round(finding: finding, client: seen, backend: backend, gateway: gateway)
  }

  /// What the backend did, once it has played to its end or knows that the gateway is gone.
  private func backendWitness(of mark: String) async -> BackendWitness {
    let deadline = SystemClock.now + .milliseconds(500)
    while stage.isPlaying(mark), SystemClock.now < deadline { try? await Task.sleep(for: .milliseconds(10)) }
    return stage.backendWitness(of: mark)
  }

  /// What the gateway logged, once it has nothing more to say of the cell.
  private func gatewayWitness(
    of mark: String, _ gateway: MatrixGateway, _ seen: ClientWitness
  ) async -> GatewayWitness {
    let deadline = SystemClock.now + Self.logDelay
    var least = min(1, behaviour.requests)
    // Each of the gateway's threads writes its lines in its own time.
    if case .cutClient = behaviour.action { least += seen.reconnects }
    while true {
      let streams = gateway.streams(of: mark)
      let isOver = streams.allSatisfy { $0.outcome != nil } && streams.count >= least
      if isOver || SystemClock.now > deadline { return GatewayWitness(streams: streams) }
      try? await Task.sleep(for: .milliseconds(10))
    }
  }
}
