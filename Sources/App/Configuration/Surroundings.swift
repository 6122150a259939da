import Files
import HTTP
package import Loop
import Processes
import RedisLog
package import Time

/// What is wrong around a configuration that is good in itself: told before a start, and no reason not to start.
package enum Surroundings {
  /// Fewer descriptors than this, and a hundred streams use them up.
  private static let fewDescriptors = 1024

  /// One sentence for each thing. Asks the name servers, for at most `patience`.
  package static func warnings(of configuration: Configuration, loop: EventLoop, patience: Nanoseconds) -> [String] {
    descriptorWarnings(configuration) + socketWarnings(configuration)
      + configuration.certificateWarnings(at: loop.wallTime()) + nameWarnings(configuration, loop, patience)
  }

  /// Why the process can't serve with the descriptors that it may open; `nil`: it can.
  package static func descriptorFault(_ configuration: Configuration) -> String? {
    let limit = Host.raiseDescriptorLimit()
    let least = ConnectionLimits.least(loops: configuration.workers, listeners: configuration.places.count)
    guard limit < least else { return nil }
    return """
      the process may open \(limit) descriptors, and needs \(least) to serve anybody with \(configuration.workers) \
      workers: raise "ulimit -n", or LimitNOFILE of the service
      """
  }

  /// The process may open too few descriptors for what it is to do.
  package static func descriptorWarnings(_ configuration: Configuration) -> [String] {
    let limit = Host.raiseDescriptorLimit()
    let wanted = configuration.limits.connections
    if wanted > 0, wanted > limit / 2 {
      return ["limits.connections is \(wanted), but the process may open \(limit) descriptors, and a stream takes two"]
    }
    return limit < fewDescriptors ? ["the process may open \(limit) descriptors only, and a stream takes two"] : []
  }

  /// The directory of a socket is not there.
  private static func socketWarnings(_ configuration: Configuration) -> [String] {
    configuration.places.map(\.address).filter(\.isUnix).compactMap { address in
      let directory = FilePath.directory(of: address.path)
      return (try? FileStat(directory)) == nil ? "\(address): there is no directory \(directory)" : nil
    }
  }

  /// The hosts that are asked by name: of every upstream, and of each Redis.
  private static func hosts(of configuration: Configuration) -> [(path: String, host: String)] {
    var hosts = configuration.upstreams.map { (path: "upstream \"\($0.name)\"", host: $0.url.host) }
    if let redis = configuration.runs.redis?.redis {
      hosts += redis.addresses.map { (path: "runs.redis", host: $0.host) }
    }
    if case .own(let own) = configuration.flags.guardSharing {
      hosts += own.redis.addresses.map { (path: "flags.guardRedis", host: $0.host) }
    }
    return hosts
  }

  private static func nameWarnings(
    _ configuration: Configuration, _ loop: EventLoop, _ patience: Nanoseconds
  ) -> [String] {
    let hosts = hosts(of: configuration)
    let resolver = Resolver(loop: loop)
    var faults: [Int: String] = Dictionary(
      uniqueKeysWithValues: hosts.enumerated().map { ($0, "\($1.host): no name server answered") })
    var (waiting, isRunning) = (hosts.count, false)
    let requests = hosts.enumerated().map { index, place in
      resolver.resolve(host: place.host, port: 1) { result in
        if case .failure(let error) = result { faults[index] = "\(error)" } else { faults[index] = nil }
        waiting -= 1
        if waiting == 0, isRunning { loop.stop() }
      }
    }
    if waiting > 0 {
      isRunning = true
      let timer = Timer(loop: loop) { loop.stop() }
      timer.schedule(after: patience)
      loop.run()
      timer.cancel()
    }
    for request in requests { request.cancel() }
    return hosts.indices.compactMap { index in
      faults[index].map { "\(hosts[index].path) can't be resolved: \($0)" }
    }
  }
}
