import Harness
import Loop
import Processes
import TLS
import Time

/// One measurement: a backend, a server and a load, each a process of its own.
struct BenchRun {
  let scenario: BenchScenario
  let subject: BenchSubject
  /// The build of Fermata, where the subject is that.
  let program: String
  let streams: Int
  let seconds: Int

  func measure() throws -> BenchFigures {
    let isSecure = scenario == .https || scenario.carrier.isSecure
    let certificates = try isSecure ? TestCertificates() : nil
    defer { certificates?.remove() }
    let identity = try certificates?.identity()
    let front = try scenario.carrier.isSecure ? certificates?.front(identity, scenario.carrier) : nil
    var command = [BenchProgram.path, "backend", "--listen", "127.0.0.1:0", "--until-input-ends"]
    if scenario == .https, let identity { command += ["--certificate", identity.certificate, "--key", identity.key] }
    let backend = try ChildProcess(command)
    defer { backend.stop() }
    guard let line = backend.readLine(timeout: .seconds(5)), let address = BackendVerb.address(in: line) else {
      throw BenchError("the backend did not start")
    }
    let server = try BenchServer.start(
      subject, program: program,
      backend: BenchBackend(address: address, roots: scenario == .https ? certificates?.roots : nil), front: front,
      runMemory: scenario.runMemory)
    let result = Result { try measure(server, front) }
    try server.stop()
    return try result.get()
  }

  private func measure(_ server: BenchServer, _ front: BenchIdentity?) throws -> BenchFigures {
    let before = try usage(server)
    let load = try ChildProcess([BenchProgram.path, "load"] + loadArguments(server.address, front))
    defer { load.stop() }
    guard load.readLine(timeout: .seconds(90) + scenario.ramp(seconds: seconds)) == LoadVerb.measuring else {
      throw BenchError("\(streams) streams could not be opened")
    }
    let start = try usage(server)
    guard let report = load.readLine(timeout: .seconds(seconds + 30)) else { throw BenchError("the load ended") }
    let end = try usage(server)
    var figures = LoadVerb.figures(in: report)
    if let before, let start, let end {
      figures.cpu = end.cpu - start.cpu
      figures.memory = end.residentBytes - before.residentBytes
    }
    return figures
  }

  private func usage(_ server: BenchServer) throws -> ProcessUsage? {
    try server.process.map { process throws in try ProcessMeter.read(process.pid) }
  }

  private func loadArguments(_ address: SocketAddress, _ front: BenchIdentity?) -> [String] {
    var arguments = [
      "--target", "\(address)", "--path", scenario.target(seconds: seconds), "--shape", scenario.shape.rawValue,
      "--streams",
      "\(streams)",
      "--events", "\(scenario.eventsPerStream)", "--seconds", "\(seconds)",
      "--ramp", "\(Int(scenario.ramp(seconds: seconds).milliseconds))",
    ]
    for field in subject.requestFields { arguments += ["--field", "\(field.name): \(field.value)"] }
    if let mode = subject.expectedMode { arguments += ["--expect-mode", mode] }
    if let front { arguments += ["--roots", front.roots] }
    if scenario.carrier.isHTTP2 { arguments += ["--http2", "\(scenario.carrier.streamsPerConnection)"] }
    return arguments
  }
}

extension TestCertificates {
  /// What a server shows clients that come by `carrier`.
  fileprivate func front(_ identity: TLSIdentity?, _ carrier: BenchCarrier) throws -> BenchIdentity? {
    guard let identity else { return nil }
    return BenchIdentity(identity: identity, roots: roots, carrier: carrier, bundle: try bundle(identity))
  }
}
