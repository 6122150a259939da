import Harness
import JSON
import Loop
import Matrix
import Processes
import Synchronization
import Time

/// Plays cells, many at a time, and repeats those that fail.
final class MatrixPlayer: Sendable {
  /// Cells at once, of all clients. Each waits most of its time; more than this would starve each other on two cores.
  private static let cellsAtOnce = 24
  /// How often a cell is played that does not show what is expected.
  private static let rounds = 3

  private let stage: MatrixStage
  private let clients: [String: MatrixClient]
  private let lanes: [String: AdapterLane]
  private let expectations: Expectations
  private let versions = Mutex<[String: String]>([:])

  init(stage: MatrixStage, clients: [MatrixClient], folder: MatrixFolder, expectations: Expectations) {
    self.stage = stage
    self.expectations = expectations
    self.clients = Dictionary(uniqueKeysWithValues: clients.map { ($0.id, $0) })
    lanes = self.clients.mapValues { client in
      AdapterLane(
        command: folder.command(of: client), isShared: client.isShared, surroundings: stage.surroundings,
        errorFile: stage.errorFile(of: client.id))
    }
  }

  /// - Parameter progress: called with how many are done, now and then.
  /// - Returns: a result for each cell, in their order.
  func play(_ cells: [CellID], progress: @Sendable (Int) -> Void) async -> [CellResult] {
    // The clients in turn, so that no client's program gets all at once.
    let columns = Dictionary(grouping: cells.indices) { cells[$0].behaviour }.sorted { $0.key < $1.key }
    let shared = columns.filter { Behaviour.named($0.key)?.action.needsOwnGateway == true && $0.value.count > 1 }
    let order = columns.filter { column in !shared.contains { $0.key == column.key } }.flatMap(\.value)
    var results = await withTaskGroup(of: (Int, CellResult).self) { group in
      var results: [Int: CellResult] = [:]
      var waiting = order[...]
      for index in waiting.prefix(Self.cellsAtOnce) { group.addTask { (index, await self.play(cells[index])) } }
      waiting = waiting.dropFirst(Self.cellsAtOnce)
      while let (index, result) = await group.next() {
        results[index] = result
        if results.count % 100 == 0 { progress(results.count) }
        if let next = waiting.popFirst() { group.addTask { (next, await self.play(cells[next])) } }
      }
      return results
    }
    // One column after the other: all clients of a column have to be there at the same time.
    for (behaviour, indices) in shared {
      let some = await playTogether(Behaviour.named(behaviour), indices.map { ($0, cells[$0]) })
      results.merge(some) { _, new in new }
    }
    return cells.indices.compactMap { results[$0] }
  }

  /// Plays all cells of a behaviour at the same time, on one gateway.
  private func playTogether(_ behaviour: Behaviour?, _ cells: [(Int, CellID)]) async -> [Int: CellResult] {
    guard let behaviour else { return [:] }
    let own = try? await OwnGateway.start(backend: stage.backend.url, for: behaviour.action)
    defer { own?.stop() }
    let able = cells.count { cell in clients[cell.1.client].map { behaviour.needs.isSubset(of: $0.abilities) } == true }
    let moment = own.map { SharedMoment(gateway: $0.gateway, action: behaviour.action, clients: able) }
    return await withTaskGroup(of: (Int, CellResult).self) { group in
      for (index, cell) in cells { group.addTask { (index, await self.play(cell, moment)) } }
      var results: [Int: CellResult] = [:]
      for await (index, result) in group { results[index] = result }
      return results
    }
  }

  /// Ends the clients' programs.
  ///
  /// - Returns: their versions.
  func finish() async -> [String: String] {
    for lane in lanes.values { await lane.stop() }
    return versions.withLock { $0 }
  }

  private func play(_ cell: CellID, _ moment: SharedMoment? = nil) async -> CellResult {
    guard let client = clients[cell.client], let lane = lanes[cell.client],
      let behaviour = Behaviour.named(cell.behaviour)
    else { return CellResult(cell, Finding(.missing, "there is no such client"), expectations: expectations) }
    let scene = MatrixScene(stage: stage, cell: cell, client: client, behaviour: behaviour, lane: lane, moment: moment)
    var verdicts: Set<Verdict> = []
    var failed: CellResult?
    while true {
      let round = await scene.play()
      if round.isVoid { continue }
      if let version = round.client?.version, !version.isEmpty {
        versions.withLock { $0[client.id] = version }
      }
      let finding = expectations.apply(to: round.finding, of: cell)
      verdicts.insert(finding.verdict)
      let result = CellResult(
        cell, finding, isFlaky: verdicts.count > 1, milliseconds: round.milliseconds, client: round.client,
        backend: round.backend, gateway: round.gateway, mayLeaveFirst: client.mayLeaveFirst,
        expectations: expectations)
      scene.rounds += 1
      // Of a cell that does not show the same every time, the failure is of interest.
      if finding.verdict == .failed { failed = result }
      if scene.rounds >= Self.rounds, result.isFlaky, let failed {
        return CellResult(
          cell, failed.finding, isFlaky: true, milliseconds: failed.milliseconds, client: failed.client,
          backend: failed.backend, gateway: failed.gateway, mayLeaveFirst: client.mayLeaveFirst,
          expectations: expectations)
      }
      if scene.rounds >= Self.rounds || (result.isAsExpected && !result.isFlaky) { return result }
    }
  }
}
