import Harness
import Loop
import Matrix
import Processes
import Streams
import Time

/// Many streams instead of cells: a race of clients that leave at random moments, or a load of clients that all stay.
struct MatrixCrowd {
  enum Kind: Sendable {
    case race(streams: Int, seed: UInt64)
    case load(streams: Int, seed: UInt64)
  }

  /// Streams of a race that are open at the same time.
  private static let racersAtOnce = 100
  /// How long a stream of a load is open.
  private static let loadSeconds = 8
  private static let timeout = Nanoseconds.seconds(60)

  /// How the clients of some streams reach the gateway.
  private struct Path {
    var transport = MatrixTransport.direct
    var address: SocketAddress
    var carrier = ClientTransport()
  }

  private let kind: Kind

  init(_ kind: Kind) { self.kind = kind }

  private var count: Int {
    switch kind {
    case .race(let streams, _), .load(let streams, _): streams
    }
  }

  func run() async throws -> Int32 {
    let began = SystemClock.now
    let stage = try await MatrixStage.build()
    var tally = CrowdTally()
    let peak = Peak()
    let watching = Task { await peak.watch(stage.backend) }
    let ways = try transports(of: stage)
    await withTaskGroup(of: CrowdResult.self) { group in
      var (next, width) = (0, count)
      if case .race = kind { width = Self.racersAtOnce }
      for _ in 0..<min(width, count) {
        add(next, ways, stage, to: &group)
        next += 1
      }
      while let result = await group.next() {
        tally.add(result)
        if next < count {
          add(next, ways, stage, to: &group)
          next += 1
        }
      }
    }
    watching.cancel()
    await tally.awaitEnds(in: stage.gateway)
    await stage.strike()
    return tell(tally, peak: await peak.open, seconds: (SystemClock.now - began).seconds)
  }

  /// A load goes over all of them, a race straight to the gateway.
  private func transports(of stage: MatrixStage) throws -> [Path] {
    var transports = [MatrixTransport.direct]
    if case .load = kind { transports = MatrixTransport.all.filter { !$0.isBare } }
    return try transports.map { transport in
      Path(
        transport: transport, address: try stage.address(over: transport), carrier: try stage.carrier(transport))
    }
  }

  private func add(
    _ number: Int, _ paths: [Path], _ stage: MatrixStage, to group: inout TaskGroup<CrowdResult>
  ) {
    let way = CrowdWay.allCases[number % CrowdWay.allCases.count]
    let crowd: CrowdPlay
    switch kind {
    case .race(_, let seed): crowd = .race(seed: seed &+ UInt64(number))
    case .load(_, let seed): crowd = .load(seed: seed &+ UInt64(number), seconds: Self.loadSeconds)
    }
    let round = number / CrowdWay.allCases.count
    let path = way == .bare ? Path(address: stage.backend.address) : paths[round % paths.count]
    group.addTask { await Self.read(way, crowd, over: path, stage) }
  }

  private static func read(
    _ way: CrowdWay, _ crowd: CrowdPlay, over path: Path, _ stage: MatrixStage
  ) async -> CrowdResult {
    let mark = stage.register(crowd.play)
    var fields = [Script.Field("Accept", "text/event-stream")]
    if way == .graceful { fields.append(Script.Field("Prefer", "stream-end")) }
    var behaviour = way.lastWords.map(ClientBehaviour.hangingUp) ?? ClientBehaviour()
    behaviour.timeout = timeout
    (behaviour.tls, behaviour.speaksHTTP2) = (path.carrier.tls, path.carrier.speaksHTTP2)
    if case .afterFirstByte(let delay) = crowd.leaves { behaviour.hangsUpAfter = delay }
    let request = ClientRequest("GET", "/\((way.mode ?? .legacy).rawValue)/B01/\(mark)", fields: fields)
    let stream = stage.clients.open(request, from: path.address, behaviour: behaviour)
    if case .afterRequest(let delay) = crowd.leaves {
      try? await Task.sleep(for: .milliseconds(Int(delay.milliseconds)))
      stream.hangUp()
    }
    let result = await stream.result()
    let outcome = way.judge(result.events, isWhole: result.end == .clean, sent: crowd.play.sent)
    let isFine = result.end == .hungUp || (result.end == .clean && outcome.sawEnd)
    return CrowdResult(
      way: way, transport: path.transport, mark: mark, hasOpened: result.headAt != nil, outcome: outcome,
      trouble: isFine ? nil : "\(result.end)")
  }

  private func tell(_ tally: CrowdTally, peak: Int, seconds: Double) -> Int32 {
    let name =
      switch kind {
      case .race(let streams, let seed): "race of \(streams) streams, seed \(seed)"
      case .load(let streams, let seed): "load of \(streams) streams, seed \(seed)"
      }
    Terminal.print("\(name): in \((seconds * 10).rounded() / 10) s, at most \(peak) open at the same time\n")
    Terminal.print(tally.table + "\n")
    var complaints = tally.complaints
    if case .load = kind, peak < count {
      complaints.append("only \(peak) of \(count) streams were open at the same time")
    }
    for complaint in complaints { Terminal.print(complaint) }
    Terminal.print(complaints.isEmpty ? "as promised" : "\(complaints.count) not as promised")
    return complaints.isEmpty ? ExitStatus.success : ExitStatus.failure
  }
}

/// How many requests the backend had open, at most.
private actor Peak {
  private(set) var open = 0

  func watch(_ backend: ScriptedBackend) async {
    while !Task.isCancelled {
      open = max(open, backend.openRequests)
      try? await Task.sleep(for: .milliseconds(100))
    }
  }
}

/// One stream that is over.
struct CrowdResult: Sendable {
  let way: CrowdWay
  let transport: MatrixTransport
  let mark: String
  /// Whether the head of its answer came.
  let hasOpened: Bool
  let outcome: CrowdWay.Outcome
  /// How it ended, when it should not have ended so.
  let trouble: String?
}

extension MatrixOptions {
  /// What is played instead of the cells.
  var crowd: MatrixCrowd.Kind? {
    if let race { return .race(streams: race, seed: seed) }
    return load.map { .load(streams: $0, seed: seed) }
  }
}
