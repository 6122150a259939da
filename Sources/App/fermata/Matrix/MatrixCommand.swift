import Files
import Gateway
import Glibc
import Harness
import JSON
import Matrix
import Processes
import Streams
import Time

/// `fermata matrix`, from its options to its exit status.
struct MatrixCommand {
  let options: MatrixOptions

  func run() async -> Int32 {
    do {
      if let crowd = options.crowd { return try await MatrixCrowd(crowd).run() }
      let folder = try MatrixFolder.find(options.folder)
      let clients = try clients(in: folder)
      let cells = Self.cells(of: clients)
      let expectations = try expectations(in: folder, cells: Set(cells))
      let chosen = cells.filter(options.wants)
      guard !chosen.isEmpty else { throw MatrixFailure("there is no such cell; --list shows them") }
      if options.onlyLists { return list(chosen, expectations) }
      return try await play(chosen, clients: clients, expectations, folder)
    } catch {
      Terminal.error("fermata matrix: \(error)")
      return ExitStatus.failure
    }
  }

  /// All cells in the order of the report.
  static func cells(of clients: [MatrixClient]) -> [CellID] {
    clients.flatMap { client in
      Mode.allCases.flatMap { mode in
        MatrixTransport.all.flatMap { transport in
          Behaviour.all.filter { transport.carries($0, to: client, in: mode) }.map { behaviour in
            CellID(client: client.id, mode: mode, transport: transport.id, behaviour: behaviour.id)
          }
        }
      }
    }
  }

  /// The known clients. Where the command line names adapters, those alone are played unless clients are named too.
  private func clients(in folder: MatrixFolder) throws -> [MatrixClient] {
    let known = try folder.clients()
    for adapter in options.adapters where known.contains(where: { $0.id == adapter.id }) {
      throw MatrixFailure("--adapter \(adapter.id): a client has this name already")
    }
    let all = known + options.adapters
    for name in options.clients.sorted() where !all.contains(where: { $0.id == name }) {
      throw MatrixFailure("--client \(name): there is none of this name; there are \(all.map(\.id))")
    }
    return all
  }

  private func expectations(in folder: MatrixFolder, cells: Set<CellID>) throws -> Expectations {
    let path = options.expectations ?? folder.path + "/expectations.json5"
    do {
      return try Expectations(
        parsing: String(decoding: readFile(path, limit: 1 << 20).bytes, as: UTF8.self), cells: cells)
    } catch {
      throw MatrixFailure("\(path): \(error)")
    }
  }

  private func list(_ cells: [CellID], _ expectations: Expectations) -> Int32 {
    for cell in cells {
      let reason = expectations[cell].map { "  \($0.reason)" } ?? ""
      Terminal.print(
        "\("\(cell)".padded(to: 44))\(expectations.verdict(of: cell).rawValue.padded(to: 6))\(reason)".trimmedEnd)
    }
    return ExitStatus.success
  }

  private func play(
    _ chosen: [CellID], clients: [MatrixClient], _ expectations: Expectations, _ folder: MatrixFolder
  ) async throws -> Int32 {
    let only = !options.adapters.isEmpty && options.clients.isEmpty
    let cells = only ? chosen.filter { cell in options.adapters.contains { $0.id == cell.client } } : chosen
    let (began, startedAt) = (SystemClock.now, WallTime(milliseconds: Int64(time(nil)) * 1000))
    let stage = try await MatrixStage.build()
    let player = MatrixPlayer(stage: stage, clients: clients, folder: folder, expectations: expectations)
    let results = await player.play(cells) { count in
      if isatty(STDERR_FILENO) == 1 { Terminal.error("\(count) of \(cells.count) cells") }
    }
    let versions = await player.finish()
    await stage.strike()
    let report = report(cells, clients, versions, results, startedAt: startedAt, began: began)
    return try tell(report)
  }

  private func report(
    _ cells: [CellID], _ clients: [MatrixClient], _ versions: [String: String], _ results: [CellResult],
    startedAt: WallTime, began: MonotonicTime
  ) -> MatrixReport {
    let (build, names) = (Program.build, Set(cells.map(\.client)))
    var words = JSONObject()
    words["version"] = .string(build.version)
    words["commit"] = .string(build.commit)
    words["libevent"] = .string(build.libevent)
    words["openssl"] = .string(build.openssl)
    return MatrixReport(
      build: words, host: "\(Host.processors) processors", startedAt: startedAt.rfc3339,
      seconds: (SystemClock.now - began).seconds,
      rows: clients.filter { names.contains($0.id) }.map { .init(client: $0, version: versions[$0.id] ?? "") },
      modes: Mode.allCases.filter { mode in cells.contains { $0.mode == mode } },
      transports: MatrixTransport.all.filter { way in cells.contains { $0.transport == way.id } },
      behaviours: Behaviour.all.filter { behaviour in cells.contains { $0.behaviour == behaviour.id } },
      results: results)
  }

  private func tell(_ report: MatrixReport) throws -> Int32 {
    if let path = options.jsonFile { try AtomicFile.replace(path, with: Array(report.json.utf8)) }
    if let path = options.htmlFile { try AtomicFile.replace(path, with: Array(report.html.utf8)) }
    if let path = options.markdownFile { try AtomicFile.replace(path, with: Array(report.markdown.utf8)) }
    Terminal.print(report.grid + "\n")
    if options.repeated != nil, let result = report.results.first { Terminal.print(result.details + "\n") }
    let complaints = report.complaints(isStrict: options.isStrict)
    for complaint in complaints { Terminal.print(complaint) }
    let missing = report.count(of: .missing)
    let seconds = (report.seconds * 10).rounded() / 10
    let verdict = complaints.isEmpty ? "as expected" : "\(complaints.count) not as expected"
    Terminal.print("\(report.summary); \(verdict), in \(seconds) s")
    if missing > 0, !options.isStrict {
      Terminal.print("\(missing) cells were not played; --strict makes that a failure")
    }
    return complaints.isEmpty ? ExitStatus.success : ExitStatus.failure
  }
}
