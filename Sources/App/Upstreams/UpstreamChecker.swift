import Bytes
package import Configuration
import HTTP
package import Loop
import Sockets
package import Streams
package import Time

/// Asks a backend how it is, again and again, on a connection of its own each time.
///
/// Lives on one loop, until it is cancelled.
package final class UpstreamChecker: DeadlineMember {
  package typealias Connect = (@escaping UpstreamDial.Completion) -> UpstreamDial

  private let policy: HealthCheckPolicy
  private let upstream: UpstreamSettings
  private let loop: EventLoop
  private let connect: Connect
  private let completion: (Bool) -> Void
  private var deadline: DeadlineHandle?
  private var check: UpstreamCheck?

  /// - Parameters:
  ///   - connect: makes a connection to the backend.
  ///   - completion: called after each check with whether the backend is well.
  package init(
    _ policy: HealthCheckPolicy, of upstream: UpstreamSettings, on loop: EventLoop, connect: @escaping Connect,
    completion: @escaping (Bool) -> Void
  ) {
    self.policy = policy
    self.upstream = upstream
    self.loop = loop
    self.connect = connect
    self.completion = completion
    deadline = loop.deadlines.add(self, at: loop.now)
  }

  package func cancel() {
    if let deadline = deadline.take() { loop.deadlines.remove(deadline) }
    check?.cancel()
    check = nil
  }

  package func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    // One that is still under way has missed its time.
    if let check = check.take() {
      check.cancel()
      completion(false)
    } else {
      let check = UpstreamCheck(policy, of: upstream, connect: connect) { [unowned self] isWell in
        self.check = nil
        completion(isWell)
        if let deadline { loop.deadlines.move(deadline, to: now + policy.interval) }
      }
      self.check = check
      check.begin()
      if self.check != nil { return now + policy.timeout }
    }
    return now + policy.interval
  }
}

/// One question and its answer's head.
private final class UpstreamCheck: ConnectionHandler {
  private let policy: HealthCheckPolicy
  private let upstream: UpstreamSettings
  private let connect: UpstreamChecker.Connect
  private var completion: ((Bool) -> Void)?
  private var dialing: UpstreamDial?
  private var connection: (any Connection)?
  private var parser = ResponseHeadParser()

  init(
    _ policy: HealthCheckPolicy, of upstream: UpstreamSettings, connect: @escaping UpstreamChecker.Connect,
    completion: @escaping (Bool) -> Void
  ) {
    self.policy = policy
    self.upstream = upstream
    self.connect = connect
    self.completion = completion
  }

  func begin() {
    dialing = connect { [self] result in
      dialing = nil
      switch result {
      case .success(let connection): ask(connection)
      case .failure: finish(isWell: false)
      }
    }
  }

  private func ask(_ connection: any Connection) {
    guard completion != nil else { return connection.close() }
    self.connection = connection
    connection.handler = self
    // Its own fields too: an upstream may ask for a key even here.
    var fields = upstream.overrides
    let decided = KnownFieldSet(upstream.removedHeaders.compactMap(\.known)).union(fields.present)
    if !decided.contains(.userAgent) { fields.append(.userAgent, literal: "fermata-health-check") }
    if !decided.contains(.accept) { fields.append(.accept, literal: "*/*") }
    var request = ByteBuffer()
    HTTP1Head.writeLastRequest(
      .get, target: upstream.url.basePath + policy.path, authority: upstream.url.authority, fields: fields,
      into: &request)
    connection.write(request.span)
    connection.startReading()
  }

  func connectionReceived(_ input: InputBuffer) {
    do {
      guard case .complete(let head, _) = try parser.parse(input.bytes) else { return }
      finish(isWell: policy.status.contains(head.status))
    } catch {
      finish(isWell: false)
    }
  }

  func connectionDrained() {}

  func connectionEnded(_ end: ConnectionEnd) { finish(isWell: false) }

  private func finish(isWell: Bool) {
    let completion = completion.take()
    cancel()
    completion?(isWell)
  }

  func cancel() {
    completion = nil
    dialing?.cancel()
    dialing = nil
    connection?.close()
    connection = nil
  }
}
