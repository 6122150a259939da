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
  private let policy: HealthCheckPolicy
  private let upstream: UpstreamSettings
  private let loop: EventLoop
  private let connect: BackendQuestion.Connect
  private let completion: (Bool) -> Void
  private var deadline: DeadlineHandle?
  private var check: BackendQuestion?

  /// - Parameters:
  ///   - connect: makes a connection to the backend.
  ///   - completion: called after each check with whether the backend is well.
  package init(
    _ policy: HealthCheckPolicy, of upstream: UpstreamSettings, on loop: EventLoop,
    connect: @escaping BackendQuestion.Connect,
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
      let check = BackendQuestion(request) { [unowned self] head in
        self.check = nil
        completion(head.map { policy.status.contains($0.status) } ?? false)
        if let deadline { loop.deadlines.move(deadline, to: now + policy.interval) }
      }
      self.check = check
      check.begin(connect)
      if self.check != nil { return now + policy.timeout }
    }
    return now + policy.interval
  }

  private var request: HTTP1Request {
    // Its own fields too: an upstream may ask for a key even here.
    var fields = upstream.overrides
    let decided = KnownFieldSet(upstream.removedHeaders.compactMap(\.known)).union(fields.present)
    if !decided.contains(.userAgent) { fields.append(.userAgent, literal: "fermata-health-check") }
    if !decided.contains(.accept) { fields.append(.accept, literal: "*/*") }
    return HTTP1Request(
      .get, upstream.url.basePath + policy.path, authority: upstream.url.authority, fields: fields, isLast: true)
  }
}
