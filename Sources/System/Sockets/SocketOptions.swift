import Glibc
import Loop
package import Time

/// What is set on a socket. On a listening socket it is inherited by every connection accepted, which saves the
/// calls per connection.
package struct SocketOptions: Sendable {
  /// How dead peers are found while a connection is silent.
  package struct KeepAlive: Sendable {
    /// Silence before the first probe, and between probes; whole seconds.
    package var idle = Nanoseconds.seconds(30)
    package var interval = Nanoseconds.seconds(10)
    /// Unanswered probes after which the connection is dead.
    package var count = 3

    package init() {}
  }

  /// Small events leave at once (TCP_NODELAY).
  package var noDelay = true
  package var keepAlive: KeepAlive? = KeepAlive()
  /// How long sent bytes may stay unacknowledged (TCP_USER_TIMEOUT); without it a dead peer is given up after a
  /// quarter of an hour.
  ///
  /// The kernel counts a peer that has closed its window, too: one that is alive and merely reads nothing is ended
  /// then. So this must be longer than any stall that is to be forgiven.
  package var userTimeout: Nanoseconds? = .seconds(300)
  /// Bytes that the kernel takes before it has sent them (TCP_NOTSENT_LOWAT); `nil` lets it take megabytes. What waits
  /// longer than that is in this process's queue, where it is counted, and where a peer that takes nothing is seen.
  package var unsentLimit: Int?
  /// The kernel's buffers in bytes; `nil` leaves the sizes to the kernel.
  package var sendBuffer: Int?
  package var receiveBuffer: Int?

  package init() {}

  /// Sets them all, as far as the kernel has them: none is worth refusing a connection for.
  func apply(to descriptor: Int32) {
    func set(_ level: Int32, _ option: Int32, _ value: Int32) {
      _ = SocketCalls.set(descriptor, level: level, option: option, to: value)
    }
    let tcp = Int32(IPPROTO_TCP)
    if noDelay { set(tcp, TCP_NODELAY, 1) }
    if let keepAlive {
      set(SOL_SOCKET, SO_KEEPALIVE, 1)
      set(tcp, TCP_KEEPIDLE, Self.whole(keepAlive.idle.value, per: 1_000_000_000))
      set(tcp, TCP_KEEPINTVL, Self.whole(keepAlive.interval.value, per: 1_000_000_000))
      set(tcp, TCP_KEEPCNT, Self.whole(Int64(keepAlive.count), per: 1))
    }
    if let userTimeout { set(tcp, TCP_USER_TIMEOUT, Self.whole(userTimeout.value, per: 1_000_000)) }
    if let unsentLimit { set(tcp, TCP_NOTSENT_LOWAT, Self.whole(Int64(unsentLimit), per: 1)) }
    if let sendBuffer { set(SOL_SOCKET, SO_SNDBUF, Self.whole(Int64(sendBuffer), per: 1)) }
    if let receiveBuffer { set(SOL_SOCKET, SO_RCVBUF, Self.whole(Int64(receiveBuffer), per: 1)) }
  }

  // The kernel takes an `int` of at least one unit.
  private static func whole(_ value: Int64, per unit: Int64) -> Int32 {
    Int32(clamping: max(1, value / unit))
  }
}
