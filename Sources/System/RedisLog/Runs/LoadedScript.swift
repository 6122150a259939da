import Bytes

/// A script that is sent for every few events: by the name that Redis gives it, once it has the text.
final class LoadedScript {
  private let redis: any RedisLink
  private let text: String
  /// The SHA-1 of the text in hexadecimal; `nil` while it is not known that this server has it.
  private var digest: [UInt8]?

  init(_ text: String, redis: any RedisLink) {
    self.text = text
    self.redis = redis
    redis.add(self)
  }

  /// Begins a command that runs it.
  func begin(_ command: RedisCommand, keys: String...) {
    if let digest {
      command.append("EVALSHA")
      command.append(digest)
    } else {
      command.append("EVAL")
      command.append(text)
    }
    command.append(keys.count)
    for key in keys { command.append(key: key) }
  }

  /// Redis has answered an error to it.
  func failed(_ fault: RedisFault) {
    guard fault == .noScript, digest != nil else { return }
    digest = nil
    load()
  }

  private func load() {
    redis.sendToAll(self) { command in
      command.append("SCRIPT")
      command.append("LOAD")
      command.append(text)
    }
  }
}

extension LoadedScript: RedisConnectionObserver, RedisReceiver {
  package func redisBecameReady() { load() }
  package func redisWasLost() { digest = nil }
  package func redisHasRoom() {}

  package func redisAnswered(_ result: Result<RedisReply, RedisError>, tag: UInt64) {
    // An account that may not load it sends the text each time.
    guard case .success(let reply) = result, reply.kind == .bulk else { return }
    digest = reply.bytes
  }
}
