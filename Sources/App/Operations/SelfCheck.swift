/// What the process uses beside what its counters explain.
///
/// At the start nothing is open that comes and goes; what is used then is taken for granted.
package struct SelfCheck: Sendable {
  /// A connection's buffers, parsers and objects, TLS included; measured at 20 to 40 KiB.
  package static let bytesOfConnection = 64 << 10
  private let descriptorsAtStart: Int
  private let memoryAtStart: Int
  /// The allocator keeps what many connections have used for the next ones.
  private var mostConnections = 0

  package init(descriptors: Int, memory: Int) {
    descriptorsAtStart = descriptors
    memoryAtStart = memory
  }

  /// Descriptors that no counted connection explains.
  ///
  /// - Parameter connections: to clients and to backends, as the loops count them.
  package func descriptors(open: Int, connections: Int) -> Int {
    max(0, open - descriptorsAtStart - connections)
  }

  /// Bytes that neither connections nor what is kept explain.
  ///
  /// - Parameters:
  ///   - kept: what the logs of runs and the bodies of requests are counted with.
  ///   - queued: what waits for clients.
  package mutating func memory(resident: Int, connections: Int, kept: Int, queued: Int) -> Int {
    mostConnections = max(mostConnections, connections)
    return max(0, resident - memoryAtStart - kept - queued - mostConnections * Self.bytesOfConnection)
  }
}
