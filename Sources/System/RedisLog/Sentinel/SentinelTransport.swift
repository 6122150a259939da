import Loop
import Sockets
import Time

/// Leads to the primary of a group that Redis Sentinel watches, wherever it is at the moment.
final class SentinelTransport: RedisTransport {
  private let watch: SentinelWatch
  private let loop: EventLoop
  private let reach: (RedisAddress) -> any RedisTransport
  private(set) var place: RedisAddress?

  var onMove: () -> Void {
    get { watch.onChange }
    set { watch.onChange = newValue }
  }

  /// - Parameter reach: makes the way to an address.
  init(
    loop: EventLoop, sentinel: SentinelSettings, clientName: String,
    reach: @escaping (RedisAddress) -> any RedisTransport
  ) {
    self.loop = loop
    self.reach = reach
    watch = SentinelWatch(loop: loop, settings: sentinel, clientName: clientName, reach: reach)
  }

  func open(
    timeout: Nanoseconds, completion: @escaping (Result<any Connection, RedisError>) -> Void
  ) -> () -> Void {
    let attempt = RedisAttempt()
    let end = loop.now + timeout
    let search = watch.locate(within: timeout) { [self] result in
      switch result {
      case .success(let address):
        place = address
        let left = max(.milliseconds(1), end - loop.now)
        attempt.cancel = reach(address).open(timeout: left, completion: completion)
      case .failure(let error): completion(.failure(error))
      }
    }
    // The answer may have been known: then the attempt is to the server already.
    if attempt.cancel == nil { attempt.cancel = { search.cancel() } }
    return { attempt.cancel?() }
  }

  func close() { watch.close() }
}
