import Bytes
import Loop
import Time

/// Who is told what a watched key holds.
protocol KeyHandler: AnyObject {
  /// - Parameter value: not null.
  func keyHolds(_ value: RedisReply, _ key: String)
}

/// Notices what other replicas write under certain keys.
///
/// The truth is the key. A channel only says when to read it; without it the watch reads often enough by itself, and
/// now and then it does so anyway.
final class KeyWatch {
  private static let interval = Nanoseconds.seconds(1)
  /// While the channel is not heard: with the tick that it may be late a change is seen within 250 ms.
  private static let shortInterval = Nanoseconds.milliseconds(150)
  private static let keysAtOnce = 500

  private let store: RunRecords
  private let channels: RedisChannels
  private let channel: String
  /// The key that a message on the channel is about.
  private let keyNamed: (Span<UInt8>) -> String?
  private var handlers: [String: any KeyHandler] = [:]
  private var handle: DeadlineHandle?
  private var lastRead: MonotonicTime

  init(
    store: RunRecords, channels: RedisChannels, channel: String, keyNamed: @escaping (Span<UInt8>) -> String?
  ) {
    self.store = store
    self.channels = channels
    self.channel = channel
    self.keyNamed = keyNamed
    lastRead = store.redis.loop.now
  }

  /// Tells `handler` what the key holds now, if anything, and what it holds later, until `stop`.
  func watch(_ key: String, handler: any KeyHandler) {
    handlers[key] = handler
    if handle == nil {
      channels.add(self, to: channel)
      handle = store.redis.loop.deadlines.add(self, at: store.redis.loop.now + EventLoop.tickInterval)
    }
    read([key])
  }

  func stop(_ key: String) {
    handlers[key] = nil
  }

  /// The same, unless somebody else watches it by now.
  func stop(_ key: String, if handler: any KeyHandler) {
    if handlers[key] === handler { stop(key) }
  }

  /// Those who watch a key.
  var all: [any KeyHandler] { Array(handlers.values) }

  func close() {
    handlers = [:]
    channels.remove(self, from: channel)
    if let handle { store.redis.loop.deadlines.remove(handle) }
    handle = nil
  }

  private func readAllKeys() {
    lastRead = store.redis.loop.now
    // In a cluster the keys of several runs can't be asked for together.
    let size = store.keys.usesHashTags ? 1 : Self.keysAtOnce
    let keys = Array(handlers.keys)
    for start in stride(from: 0, to: keys.count, by: size) { read(keys[start..<min(keys.count, start + size)]) }
  }

  private func read(_ keys: ArraySlice<String>) {
    store.redis.send { command in
      command.append("MGET")
      for key in keys { command.append(key: key) }
    } completion: { [weak self] result in
      guard let self, case .success(let reply) = result, reply.kind == .array else { return }
      for (key, value) in zip(keys, reply.elements) where !value.isNull { handlers[key]?.keyHolds(value, key) }
    }
  }
}

extension KeyWatch: ChannelListener, DeadlineMember {
  func channelOpened() { readAllKeys() }
  func channelClosed() {}

  func channelReceived(_ message: RedisReply) {
    guard let key = message.withBytes(keyNamed), handlers[key] != nil else { return }
    read([key])
  }

  func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    let interval = channels.isOpen(channel) ? Self.interval : Self.shortInterval
    if !handlers.isEmpty, now - lastRead >= interval { readAllKeys() }
    return now + EventLoop.tickInterval
  }
}
