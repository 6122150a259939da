package import Loop
import Sockets
package import TLS
package import Time

/// Looks at a Redis before anything depends on it.
package final class RedisProbe {
  private let client: RedisClient
  private let end: MonotonicTime
  private var timer: Timer?
  private var refusal: String?

  private init(_ client: RedisClient, until end: MonotonicTime) {
    self.client = client
    self.end = end
  }

  /// Runs `loop` until the server has said what it is, could not be reached, or `time` has passed.
  ///
  /// - Returns: why runs can never be kept there; `nil` when they can, and when nobody has answered.
  package static func refusal(
    of settings: RedisSettings, tls: TLSContext?, on loop: EventLoop, within time: Nanoseconds
  ) -> String? {
    let client = RedisClient(loop: loop, dialer: Dialer(loop: loop), settings: settings, tls: tls)
    let probe = RedisProbe(client, until: loop.readClock() + time)
    client.start()
    probe.scheduleCheck()
    loop.run()
    client.close()
    return probe.refusal
  }

  private func scheduleCheck() {
    let timer = Timer(loop: client.loop) { [unowned self] in check() }
    timer.schedule(after: .milliseconds(5))
    self.timer = timer
  }

  private func check() {
    let redis = client.store.redis
    refusal = redis.refusal
    let isOver = redis.isReady || redis.counts.failures > 0 || client.loop.readClock() >= end
    if isOver { client.loop.stop() } else { scheduleCheck() }
  }
}
