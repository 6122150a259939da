import Bytes
import HTTP
import Loop
import Sockets
import Streams
import Time

/// Asks a backend how it is, again and again, on a connection of its own each time.
///
/// Lives on its pool's loop, and as long as the pool is in use.
final class UpstreamChecker: DeadlineMember {
  private unowned let pool: UpstreamPool
  private let policy: HealthCheckPolicy
  private var deadline: DeadlineHandle?
  private var check: UpstreamCheck?

  init(_ policy: HealthCheckPolicy, pool: UpstreamPool) {
    self.policy = policy
    self.pool = pool
    deadline = pool.worker.loop.deadlines.add(self, at: pool.worker.loop.now)
  }

  func cancel() {
    if let deadline = deadline.take() { pool.worker.loop.deadlines.remove(deadline) }
    check?.cancel()
    check = nil
  }

  func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    // One that is still under way has missed its time.
    if let check = check.take() {
      check.cancel()
      pool.wasChecked(isWell: false)
    } else {
      let check = UpstreamCheck(policy, pool: pool) { [unowned self] isWell in
        self.check = nil
        pool.wasChecked(isWell: isWell)
        if let deadline { pool.worker.loop.deadlines.move(deadline, to: now + policy.interval) }
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
  private let pool: UpstreamPool
  private var completion: ((Bool) -> Void)?
  private var dialing: UpstreamDial?
  private var connection: (any Connection)?
  private var parser = ResponseHeadParser(limits: HeadLimits())

  init(_ policy: HealthCheckPolicy, pool: UpstreamPool, completion: @escaping (Bool) -> Void) {
    self.policy = policy
    self.pool = pool
    self.completion = completion
  }

  func begin() {
    dialing = pool.open { [self] result in
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
    var request = ByteBuffer()
    request.append("GET ")
    request.append(pool.settings.url.basePath)
    request.append(policy.path)
    request.append(" HTTP/1.1\r\nHost: ")
    request.append(pool.settings.url.authority)
    request.append("\r\n")
    // Its own fields too: an upstream may ask for a key even here.
    var fields = pool.settings.overrides
    let decided = KnownFieldSet(pool.settings.removedHeaders.compactMap(\.known)).union(fields.present)
    if !decided.contains(.userAgent) { fields.append(.userAgent, literal: "fermata-health-check") }
    if !decided.contains(.accept) { fields.append(.accept, literal: "*/*") }
    fields.write(into: &request)
    request.append("Connection: close\r\n\r\n")
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
