import Bytes
import Loop
package import Time

/// Who hears what is published on a channel.
package protocol ChannelListener: AnyObject {
  /// From now on nothing is missed.
  func channelOpened()
  func channelReceived(_ message: RedisReply)
  /// What is published until it opens again is missed.
  func channelClosed()
}

/// The channels of Redis that a loop listens to, over one connection.
package final class RedisChannels {
  /// After so long a silence the connection is asked whether it lives; after twice that it is given up.
  private static let silence = Nanoseconds.seconds(5)

  private let redis: RedisConnection
  private var channels: [String: Channel] = [:]
  private var handle: DeadlineHandle?

  private struct Channel {
    var listeners: [any ChannelListener] = []
    var isOpen = false
  }

  /// - Parameter redis: a connection for this alone.
  package init(redis: RedisConnection) {
    self.redis = redis
  }

  /// Listens until `remove`. The listener is told when the channel opens, not before this returns.
  package func add(_ listener: any ChannelListener, to name: String) {
    if handle == nil {
      redis.listener = { [weak self] in self?.received($0) }
      redis.add(self)
      redis.start()
      handle = redis.loop.deadlines.add(self, at: redis.loop.now + .seconds(1))
    }
    channels[name, default: Channel()].listeners.append(listener)
    // Answered anew for a channel that is open already: then everybody is told once more.
    subscribe(name)
  }

  package func remove(_ listener: any ChannelListener, from name: String) {
    channels[name]?.listeners.removeAll { $0 === listener }
    guard let channel = channels[name], channel.listeners.isEmpty else { return }
    channels[name] = nil
    guard redis.isReady else { return }
    send { command in
      command.append("UNSUBSCRIBE")
      command.append(name)
    }
  }

  /// Whether what is published on the channel is heard.
  package func isOpen(_ name: String) -> Bool { channels[name]?.isOpen ?? false }

  package func close() {
    if let handle { redis.loop.deadlines.remove(handle) }
    handle = nil
    channels = [:]
    redis.close()
  }

  private func subscribe(_ name: String) {
    guard redis.isReady else { return }
    send { command in
      command.append("SUBSCRIBE")
      command.append(name)
    }
  }

  /// Asks whether a connection that only listens lives, or gives it up. To be called once a second.
  static func keepAlive(_ redis: RedisConnection, at now: MonotonicTime) {
    guard redis.isReady else { return }
    let quiet = now - redis.lastInput
    if quiet > silence + silence {
      redis.drop(because: "no answer in time")
    } else if quiet > silence {
      redis.send(to: RedisCompletion { _ in }) { $0.append("PING") }
    }
  }

  /// A connection that listens has no answers of its own: all that comes goes to `received`.
  private func send(_ write: (RedisCommand) -> Void) {
    redis.send(to: RedisCompletion { _ in }, write)
  }

  private func received(_ reply: RedisReply) {
    var elements = reply.elements
    guard let kind = elements.next(), let name = elements.next() else { return }
    if kind.withBytes({ $0.equals("message") }), let message = elements.next() {
      for listener in channels[name.text]?.listeners ?? [] { listener.channelReceived(message) }
    } else if kind.withBytes({ $0.equals("subscribe") }) {
      let name = name.text
      channels[name]?.isOpen = true
      for listener in channels[name]?.listeners ?? [] { listener.channelOpened() }
    }
  }
}

extension RedisChannels: RedisConnectionObserver, DeadlineMember {
  package func redisBecameReady() {
    for name in channels.keys { subscribe(name) }
  }

  package func redisWasLost() {
    for (name, channel) in channels where channel.isOpen {
      channels[name]?.isOpen = false
      for listener in channel.listeners { listener.channelClosed() }
    }
  }

  package func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    Self.keepAlive(redis, at: now)
    return now + .seconds(1)
  }
}
