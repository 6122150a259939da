import Harness
import Loop
import Time

extension Verb {
  static let load = Verb(
    name: "load", summary: "the clients of the bench", help: "A part of \"fermata bench\", of no use by itself.",
    isHidden: true, run: LoadVerb.run)
}

/// `fermata load`: the bench's clients as a process of their own, so that their processor time is not the server's.
///
/// Speaks with the bench in lines: `measuring`, then one of figures; streams stay open until the input ends.
enum LoadVerb {
  static let measuring = "measuring"

  static func run(_ arguments: [String]) -> Int32 {
    guard let plan = plan(arguments) else { return ExitStatus.usage }
    do {
      let loop = try EventLoop()
      let generator = LoadGenerator(loop: loop, plan: plan)
      let end = InputEnd(stopping: loop)
      generator.start(
        measuring: { Terminal.print(measuring) },
        done: { report in
          Terminal.print(line(report))
          if !end.isWatched { loop.stop() }
        })
      loop.run()
      generator.stop()
      withExtendedLifetime(end) {}
      return ExitStatus.success
    } catch {
      Terminal.error("fermata load: \(error)")
      return ExitStatus.failure
    }
  }

  private static func plan(_ arguments: [String]) -> LoadPlan? {
    var values: [String: String] = [:]
    var fields: [Script.Field] = []
    for index in stride(from: 0, to: arguments.count - 1, by: 2) {
      let (name, value) = (arguments[index], arguments[index + 1])
      if name == "--field", let colon = value.firstIndex(of: ":") {
        fields.append(Script.Field(String(value[..<colon]), String(value[colon...].dropFirst(2))))
      } else {
        values[name] = value
      }
    }
    guard let address = values["--target"].flatMap({ SocketAddress(parsing: $0) }), let path = values["--path"],
      let shape = values["--shape"].flatMap({ LoadPlan.Shape(rawValue: $0) }),
      let streams = values["--streams"].flatMap({ Int($0) }), let events = values["--events"].flatMap({ Int($0) }),
      let seconds = values["--seconds"].flatMap({ Int($0) })
    else { return nil }
    // A request of a connection of its own says so, as such clients do.
    if shape == .cycling { fields.append(Script.Field("Connection", "close")) }
    let carrier: BenchCarrier =
      values["--http2"].flatMap { Int($0) }.map { .http2(streamsPerConnection: max(1, $0)) }
      ?? (values["--roots"] == nil ? .plain : .secure)
    guard let transport = try? carrier.transport(roots: values["--roots"]) else { return nil }
    var plan = LoadPlan(
      address: address, request: ClientRequest("GET", path, fields: fields), shape: shape, streams: streams,
      eventsPerStream: events, duration: .seconds(seconds),
      ramp: .milliseconds(values["--ramp"].flatMap { Int($0) } ?? 0), expectedMode: values["--expect-mode"])
    plan.transport = transport
    plan.streamsPerConnection = carrier.streamsPerConnection
    return plan
  }

  private static func line(_ report: LoadReport) -> String {
    let (median, late) = (report.latency.quantile(0.5), report.latency.quantile(0.99))
    return "\(report.events) \(report.streams) \(report.failures) \(median.value) \(late.value)"
  }

  /// The figures in the line that a load prints.
  static func figures(in line: String) -> BenchFigures {
    let numbers = line.split(separator: " ").map { Int($0) ?? 0 }
    guard numbers.count == 5 else { return BenchFigures(failures: 1) }
    return BenchFigures(
      events: numbers[0], streams: numbers[1], failures: numbers[2], latencyMedian: Nanoseconds(Int64(numbers[3])),
      latency99: Nanoseconds(Int64(numbers[4])))
  }
}
