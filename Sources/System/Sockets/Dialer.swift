package import Loop
package import Time

/// Makes outgoing connections.
package final class Dialer {
  package let loop: EventLoop
  let resolver: Resolver

  /// - Parameter resolver: shared with others of the loop, or one of its own.
  package init(loop: EventLoop, resolver: Resolver? = nil) {
    self.loop = loop
    self.resolver = resolver ?? Resolver(loop: loop)
  }

  /// Connects to `host`, a name or a literal address.
  ///
  /// Addresses are tried in turn, IPv6 and IPv4 alternating, each with a head start of 250 ms over the next (RFC 8305).
  /// `completion` is called once, from the loop, never before this returns, and not at all after `cancel()`. The
  /// attempt goes on when the caller drops it.
  /// - Parameter timeout: for everything, name lookup included; kept by the loop's tick, so late by up to 50 ms.
  @discardableResult
  package func connect(
    host: String, port: UInt16, timeout: Nanoseconds, options: SocketOptions = SocketOptions(),
    completion: @escaping (Result<TCPConnection, DialError>) -> Void
  ) -> DialAttempt {
    let attempt = DialAttempt(
      dialer: self, host: host, port: port, options: options, completion: completion)
    attempt.start(timeout: timeout)
    return attempt
  }

  /// Connects to the first of `addresses` that answers: for names that were resolved elsewhere. See `connect(host:…)`.
  /// - Parameter host: the name in errors.
  @discardableResult
  package func connect(
    to addresses: [SocketAddress], host: String, timeout: Nanoseconds, options: SocketOptions = SocketOptions(),
    completion: @escaping (Result<TCPConnection, DialError>) -> Void
  ) -> DialAttempt {
    let attempt = DialAttempt(
      dialer: self, host: host, port: addresses.first?.port ?? 0, options: options, completion: completion)
    attempt.start(addresses, timeout: timeout)
    return attempt
  }
}
