import Dispatch
import Harness
import Loop
import Processes
import Time

/// Good clients, beside which hostile ones are played.
enum Bystanders {
  static let streams = Host.environment["FERMATA_ABUSE_STREAMS"].flatMap { Int($0) } ?? 500
  /// How many share a connection over HTTP/2.
  private static let streamsPerConnection = 10

  /// Calls `body`, which blocks, on a thread of its own: the tasks' threads are few.
  static func blocking<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
      DispatchQueue.global().async { continuation.resume(with: Swift.Result { try body() }) }
    }
  }

  /// What they see for some seconds of streams that do not end.
  static func watch(_ address: SocketAddress, seconds: Int) async throws -> LoadReport {
    try await run(
      LoadPlan(
        address: address, request: ClientRequest("GET", "/script?events=1000000&interval=200&size=120"),
        shape: .steady, streams: streams, eventsPerStream: 1_000_000, duration: .seconds(seconds),
        ramp: .milliseconds(200)),
      ClientTransport(speaksHTTP2: true))
  }

  /// What they see for some seconds of streams of 2 s, each of which another follows. One that is not whole is a failure.
  static func read(_ address: SocketAddress, seconds: Int, over transport: ClientTransport) async throws -> LoadReport {
    try await run(
      LoadPlan(
        address: address, request: ClientRequest("GET", "/script?events=10&interval=200&size=120"),
        shape: .cycling, streams: streams, eventsPerStream: 10, duration: .seconds(seconds), ramp: .seconds(1)),
      transport)
  }

  private static func run(_ plan: LoadPlan, _ transport: ClientTransport) async throws -> LoadReport {
    try await blocking {
      var plan = plan
      plan.transport = transport
      plan.streamsPerConnection = streamsPerConnection
      let loop = try EventLoop()
      let generator = LoadGenerator(loop: loop, plan: plan)
      var report = LoadReport()
      generator.start(measuring: {}) {
        report = $0
        loop.stop()
      }
      loop.run()
      generator.stop()
      return report
    }
  }
}
