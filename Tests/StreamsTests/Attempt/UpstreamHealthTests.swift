import Streams
import Testing
import Time

struct UpstreamHealthTests {
  private func health(_ change: (inout HealthPolicy) -> Void = { _ in }) -> UpstreamHealth {
    var policy = HealthPolicy()
    change(&policy)
    return UpstreamHealth(policy: policy)
  }

  private let available = UpstreamHealth.State.available(weightFactor: 1)

  @Test func `failures in a row eject it, a success in between does not let it come to that`() {
    var health = health()
    for round in 0..<10 {
      for _ in 0..<4 { health.failed(at: at(Double(round))) }
      health.succeeded(at: at(Double(round)))
    }
    #expect(health.state(at: at(10)) == available)
    for _ in 0..<5 { health.failed(at: at(10)) }
    #expect(health.state(at: at(10)) == .ejected(until: at(20)))
    #expect(health.state(at: at(20)) == available)
    #expect(health.counts.failures == 45 && health.counts.successes == 10 && health.counts.ejections == 1)
  }

  @Test func `truncations count on their own: a good beginning does not make up for a cut`() {
    var health = health { $0.failures = 3 }
    for second in 0..<2 {
      health.succeeded(at: at(Double(second)))
      health.truncated(at: at(Double(second)))
    }
    health.completed(at: at(2))
    for second in 2..<5 {
      #expect(health.state(at: at(Double(second))) == available)
      health.succeeded(at: at(Double(second)))
      health.truncated(at: at(Double(second)))
    }
    #expect(health.state(at: at(5)) == .ejected(until: at(14)))
    #expect(health.counts.truncations == 5)
  }

  @Test func `each ejection is twice as long as the one before, up to a limit`() {
    var health = health { $0.ejectionMax = .seconds(60) }
    var now = 0.0
    for _ in 0..<5 { health.failed(at: at(now)) }
    for length in [10.0, 20, 40, 60, 60, 60] {
      #expect(health.state(at: at(now)) == .ejected(until: at(now + length)))
      now += length
      #expect(health.state(at: at(now)) == available)
      // Back on probation: the first failure is one too many.
      health.failed(at: at(now))
    }
    #expect(health.counts.ejections == 7)
  }

  @Test func `what fails while it is left out changes nothing`() {
    var health = health()
    for _ in 0..<40 { health.failed(at: at(0)) }
    #expect(health.state(at: at(9)) == .ejected(until: at(10)) && health.counts.ejections == 1)
    health.succeeded(at: at(5))
    #expect(health.state(at: at(9)) == .ejected(until: at(10)))
  }

  @Test func `an ejection is forgiven when it has been good for as long`() {
    var health = health()
    for _ in 0..<5 { health.failed(at: at(0)) }
    health.failed(at: at(10))
    #expect(health.state(at: at(10)) == .ejected(until: at(30)))
    health.succeeded(at: at(31))
    for _ in 0..<5 { health.failed(at: at(40)) }
    #expect(health.state(at: at(40)) == .ejected(until: at(80)), "not yet")
    health.succeeded(at: at(119))
    health.succeeded(at: at(120))
    for _ in 0..<4 { health.failed(at: at(121)) }
    #expect(health.state(at: at(121)) == available, "nor is it on probation")
    health.failed(at: at(121))
    #expect(health.state(at: at(121)) == .ejected(until: at(131)))
  }

  @Test func `with no limit it is never ejected`() {
    for change: (inout HealthPolicy) -> Void in [{ $0.failures = 0 }, { $0.ejection = .zero }] {
      var health = health(change)
      for _ in 0..<100 {
        health.failed(at: at(1))
        health.truncated(at: at(1))
      }
      #expect(health.state(at: at(1)) == available)
    }
  }

  @Test func `Retry-After is a cool-down, and no failure`() {
    var health = health { $0.failures = 1 }
    health.attemptFailed(.status(429, retryAfter: .seconds(30)), at: at(0))
    #expect(health.state(at: at(0)) == .coolingDown(until: at(30)))
    health.attemptFailed(.status(503, retryAfter: .seconds(10)), at: at(1))
    #expect(health.state(at: at(1)) == .coolingDown(until: at(30)), "the later end counts")
    health.attemptFailed(.status(503, retryAfter: .seconds(86_400)), at: at(2))
    #expect(health.state(at: at(2)) == .coolingDown(until: at(302)), "not for ever")
    #expect(health.state(at: at(302)) == available)
    #expect(health.counts.failures == 0 && health.counts.coolDowns == 3)
    health.coolDown(until: at(300), at: at(302))
    #expect(health.counts.coolDowns == 3)
  }

  @Test func `a fault counts as what it is`() {
    var health = health { $0.failures = 1 }
    for fault in [
      AttemptFault.status(429, retryAfter: nil), .status(429, retryAfter: .zero), .status(408, retryAfter: nil),
      .budgetSpent,
    ] {
      health.attemptFailed(fault, at: at(0))
      #expect(health.state(at: at(0)) == available, "\(fault)")
    }
    for fault in [AttemptFault.status(503, retryAfter: nil), .cut, .errorEvent, .timedOut, .connectFailed("")] {
      var other = self.health { $0.failures = 1 }
      other.attemptFailed(fault, at: at(0))
      #expect(other.state(at: at(0)) == .ejected(until: at(10)), "\(fault)")
    }
  }

  private static let checked: HealthPolicy = {
    var policy = HealthPolicy()
    policy.check = HealthCheckPolicy()
    return policy
  }()

  @Test func `bad checks in a row take it out, good ones bring it back`() {
    var health = UpstreamHealth(policy: Self.checked)
    for _ in 0..<2 { health.checkFailed(at: at(0)) }
    health.checkPassed(at: at(1))
    for _ in 0..<2 { health.checkFailed(at: at(2)) }
    #expect(health.state(at: at(2)) == available)
    health.checkFailed(at: at(3))
    #expect(health.state(at: at(3)) == .unhealthy)
    #expect(health.state(at: at(3000)) == .unhealthy)
    health.checkPassed(at: at(4))
    health.checkFailed(at: at(5))
    health.checkPassed(at: at(6))
    #expect(health.state(at: at(6)) == .unhealthy)
    health.checkPassed(at: at(7))
    #expect(health.state(at: at(7)) == available)
    #expect(health.counts.checksPassed == 4 && health.counts.checksFailed == 6)
  }

  @Test func `good checks shorten an ejection to its first length`() {
    var health = UpstreamHealth(policy: Self.checked)
    for _ in 0..<5 { health.failed(at: at(0)) }
    for _ in 0..<5 { health.checkPassed(at: at(1)) }
    #expect(health.state(at: at(1)) == .ejected(until: at(10)))
    health.failed(at: at(10))
    #expect(health.state(at: at(10)) == .ejected(until: at(30)))
    health.checkPassed(at: at(12))
    #expect(health.state(at: at(12)) == .ejected(until: at(30)), "good ones since the ejection count")
    health.checkPassed(at: at(13))
    #expect(health.state(at: at(13)) == .ejected(until: at(20)))
    health.failed(at: at(20))
    health.checkPassed(at: at(40))
    health.checkPassed(at: at(41))
    #expect(health.state(at: at(41)) == available)
  }

  @Test func `its share grows slowly when it is back, and not before it was out`() {
    var policy = Self.checked
    policy.slowStart = .seconds(20)
    var health = UpstreamHealth(policy: policy)
    #expect(health.state(at: at(0)) == available)
    for _ in 0..<5 { health.failed(at: at(0)) }
    for (second, factor) in [(10.0, 0.1), (11, 0.1), (15, 0.25), (20, 0.5), (29, 0.95), (30, 1), (300, 1)] {
      #expect(health.state(at: at(second)) == .available(weightFactor: factor))
    }
    for _ in 0..<3 { health.checkFailed(at: at(300)) }
    for _ in 0..<2 { health.checkPassed(at: at(400)) }
    #expect(health.state(at: at(405)) == .available(weightFactor: 0.25))
  }
}
