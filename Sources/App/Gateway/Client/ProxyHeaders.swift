import Logging
import Loop
import Sockets
import Telemetry
import Time

/// What came of a connection that had to begin with a PROXY header.
enum ProxyHeaderResult: String, MetricLabel, CaseIterable {
  /// It named the client.
  case named
  /// It named nobody: the balancer's own probes do so, and it may not know who the client is.
  case unnamed
  /// The peer is not one of those who may send it.
  case untrusted
  case malformed
  case timeout
  case closed

  init(_ error: ProxyHeaderError) {
    switch error {
    case .header: self = .malformed
    case .timeout: self = .timeout
    case .closed: self = .closed
    }
  }
}

/// The PROXY headers of one loop's clients, each until it is read. Confined to its loop.
final class ProxyHeaders {
  private let context: LoopContext
  private var underWay: [ObjectIdentifier: ProxyHeaderReader] = [:]

  init(context: LoopContext) {
    self.context = context
  }

  var count: Int { underWay.count }

  /// Closes the connection of a peer that may not say who the client is.
  ///
  /// - Parameter logged: the peer, as the log may say it.
  func refuse(_ connection: TCPConnection, as logged: String) {
    context.shard.increment(context.metrics.connections)
    tell(.untrusted, "the peer is not in trustedProxies", of: logged)
    connection.close()
  }

  /// - Parameters:
  ///   - logged: the peer, as the log may say it.
  ///   - completion: gets the connection of whom the header names, or nothing; not called after `cancelAll()`.
  func begin(
    _ connection: TCPConnection, _ version: ProxyHeaderParser.Version, timeout: Nanoseconds, logged: String,
    completion: @escaping (TCPConnection?) -> Void
  ) {
    let place = ObjectIdentifier(connection)
    underWay[place] = ProxyHeaderReader.begin(connection, version: version, timeout: timeout) {
      // The first connection is held until here, so that no other has its place.
      [unowned self, connection] outcome in
      _ = connection
      underWay[place] = nil
      switch outcome {
      case .success(let passed):
        let isNamed = if case .address = passed.source { true } else { false }
        context.shard.increment(context.metrics.proxyHeaders[isNamed ? .named : .unnamed])
        completion(passed.connection)
      case .failure(let error):
        tell(ProxyHeaderResult(error), error.description, of: logged)
        completion(nil)
      }
    }
  }

  func cancelAll() {
    for header in underWay.values { header.cancel() }
    underWay = [:]
  }

  private func tell(_ result: ProxyHeaderResult, _ reason: String, of logged: String) {
    context.shard.increment(context.metrics.proxyHeaders[result])
    context.log.write(.info, .proxyHeaderRefused, at: context.loop.wallTime()) { line in
      if !logged.isEmpty { line.field("client", word: logged) }
      line.field("reason", reason)
    }
  }
}
