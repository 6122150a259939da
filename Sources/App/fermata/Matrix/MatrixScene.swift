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
    var client: ClientWitness?
    var backend: BackendWitness?
    var gateway: GatewayWitness?
  }

  /// How long a client may read, and its program may take to say so.
  private static let deadline = Nanoseconds.seconds(8)
  private static let grace = Nanoseconds.seconds(12)
  /// How long the gateway's last line about the cell may take after the client has its answer.
  private static let settling = Nanoseconds.seconds(4)

  private let stage: MatrixStage
  private let cell: CellID
  private let client: MatrixClient
  private let behaviour: Behaviour
  private let lane: AdapterLane
  private let judge: Judge
  var rounds = 0

  init(stage: MatrixStage, cell: CellID, client: MatrixClient, behaviour: Behaviour, lane: AdapterLane) {
    (self.stage, self.cell, self.client, self.behaviour, self.lane) = (stage, cell, client, behaviour, lane)
    judge = Judge(client: client, variant: cell.mode, behaviour: behaviour)
  }

  func play() async -> Round {
    guard behaviour.needs.isSubset(of: client.abilities) else { return Round(finding: Finding(.none)) }
    let address: SocketAddress
    switch stage.address(over: cell.transport) {
    case .success(let found): address = found
    case .failure(let failure): return Round(finding: Finding(.missing, failure.description))
    }
    let began = SystemClock.now
    do {
      var round = try await play(at: address)
      round.milliseconds = Int((SystemClock.now - began).milliseconds)
      return round
    } catch {
      return Round(finding: Finding(.failed, fault: .witness, "\(error)"))
    }
  }

  private func play(at address: SocketAddress) async throws -> Round {
    let mark = stage.register(behaviour.play(client.dialect))
    var target = MatrixTarget(path: "/\(cell.mode.rawValue)/\(behaviour.id)/\(mark)")
    var relay: CuttingRelay?
    switch behaviour.action {
    case .none: break
    case .cutClient(let text): relay = try CuttingRelay.start(to: address, cuttingBehind: text)
    case .finishFirst: target = try await finishFirst(mark)
    }
    defer { relay?.stop() }
    let job = MatrixJob(client: client, behaviour: behaviour, mode: judge.mode)
      .object(at: relay?.address ?? address, target, deadline: Self.deadline)
    switch await lane.ask(job, within: Self.grace) {
    case .unsupported: return Round(finding: Finding(.none))
    case .missing(let why): return Round(finding: Finding(.missing, why))
    case .broken(let how): return Round(finding: Finding(.failed, fault: .witness, how))
    case .answer(let value): return await compare(try ClientWitness(parsing: value), mark)
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
    return MatrixTarget(path: path, lastEventID: last)
  }

  private func compare(_ seen: ClientWitness, _ mark: String) async -> Round {
    let gateway = await gatewayWitness(of: mark)
    let backend = stage.backendWitness(of: mark)
    let finding = judge.judge(client: seen, backend: backend, gateway: gateway)
    return Round(finding: finding, client: seen, backend: backend, gateway: gateway)
  }

  /// What the gateway logged, once it has nothing more to say of the cell.
  private func gatewayWitness(of mark: String) async -> GatewayWitness {
    let deadline = SystemClock.now + Self.settling
    while true {
      let streams = stage.gateway.streams(of: mark)
      let isOver = streams.allSatisfy { $0.outcome != nil } && (!streams.isEmpty || behaviour.outcome == nil)
      if isOver || SystemClock.now > deadline { return GatewayWitness(streams: streams) }
      try? await Task.sleep(for: .milliseconds(10))
    }
  }
}

/// What a client asks for.
struct MatrixTarget {
  var path: String
  var lastEventID: String?
}

/// The job that an adapter gets.
struct MatrixJob {
  let client: MatrixClient
  let behaviour: Behaviour
  let mode: Mode

  func object(at address: SocketAddress, _ target: MatrixTarget, deadline: Nanoseconds) -> JSONObject {
    var (headers, query) = (JSONObject(), [String]())
    if client.optIn != .never, mode == .graceful {
      if client.optIn == .header { headers["Prefer"] = "stream-end" }
      if client.optIn == .query { query.append("stream_end=1") }
    }
    if let id = target.lastEventID {
      if client.optIn == .query { query.append("last_event_id=\(id)") } else { headers["Last-Event-ID"] = .string(id) }
    }
    var job = JSONObject()
    job["url"] = .string(
      "http://\(address)\(target.path)" + (query.isEmpty ? "" : "?" + query.joined(separator: "&")))
    job["method"] = "GET"
    job["headers"] = .object(headers)
    job["body"] = .null
    job["capability"] = .string(mode == .graceful ? "stream-end" : "none")
    job["deadlineMs"] = JSONValue(Int(deadline.milliseconds))
    job["stopAfter"] = client.leavesAtCompletion ? "complete" : .null
    job["resume"] = .bool(behaviour.needs.contains(.resume))
    job["lastEventId"] = target.lastEventID.map { .string($0) } ?? .null
    return job
  }
}
