import Loop
package import Sockets
package import Streams
package import TLS
package import Time

/// What gateways tell each other over Redis about taking the new closing back: words of which the highest number counts,
/// and what each of them has counted.
///
/// The truth is in the keys. The channel only says when to look. All answers come from the loop, after the call has
/// returned, and within the connection's time limits.
package final class GuardStore {
  /// What the limits of the connection are called in messages.
  package struct LimitNames: Sendable {
    package var connect = TimeLimit.storeConnect
    package var command = TimeLimit.storeCommand

    package init() {}
  }

  private let connections: RedisConnections
  private let commands: any RedisLink
  private let channels: RedisChannels
  package var settings: RedisSettings { connections.settings }
  /// Called when another gateway has said something, and when there is a connection after there was none.
  package var onNews: () -> Void = {}

  /// - Parameter tls: needed where the settings say TLS.
  package init(dialer: Dialer, settings: RedisSettings, tls: TLSContext?, names: LimitNames = LimitNames()) {
    var limits = RedisConnection.Limits()
    limits.connectName = names.connect
    limits.commandName = names.command
    connections = RedisConnections("guard", dialer: dialer, settings: settings, tls: tls, names: limits)
    commands = connections.commands
    channels = RedisChannels(redis: connections.make(.channels, named: "guard-channel"))
  }

  package func start() {
    commands.add(self)
    commands.start()
    channels.add(self, to: channel)
  }

  /// Ends both connections. What waits for an answer gets a failure.
  package func close() {
    onNews = {}
    channels.close()
    connections.close()
  }

  /// Takes over another account, other time limits and another trust for the same Redis.
  package func adopt(_ wanted: RedisSettings, tls: TLSContext?) { connections.adopt(wanted, tls: tls) }

  /// Whether commands are carried out at once.
  package var isReady: Bool { commands.isReady }
  /// Whether what others say is heard at once.
  package var isListening: Bool { channels.isOpen(channel) }
  /// Why Redis is not to be had; `nil` when it is, and before the first try is over. Never with a password in it.
  package var absence: String? { isReady ? nil : commands.lastFault }

  /// The key of a word, or of all sums.
  package func key(_ name: String) -> String { "\(settings.prefix)guard:\(name)" }
  private var channel: String { key("channel") }

  // MARK: - Words

  /// Writes a word if its number is higher than that of the one that is there.
  ///
  /// - Parameter completion: gets the number and the text that are there now, as they were written. Whoever asks has to
  ///   expect anything.
  package func exchange(
    _ name: String, number: Int, text: String, lifetime: Nanoseconds,
    _ completion: @escaping (Result<(number: String, text: String), RedisError>) -> Void
  ) {
    let (key, channel) = (key(name), channel)
    commands.send { command in
      command.begin(RedisScript.exchangeWord, keys: [key])
      command.append(number)
      command.append(text)
      command.append(RunRecords.milliseconds(lifetime))
      command.append(channel)
    } completion: { result in
      switch result {
      case .failure(let error): completion(.failure(error))
      case .success(let reply):
        guard let (number, text) = reply.firstTwo else { return completion(.failure(Self.unexpected(reply))) }
        completion(.success((number.text, text.text)))
      }
    }
  }

  // MARK: - Sums

  /// Leaves what this process has counted, and brings what the others left in the last `lifetime`.
  ///
  /// - Parameter name: of this process; no other may ever have it.
  package func exchangeSums(
    of name: String, _ text: String, lifetime: Nanoseconds,
    _ completion: @escaping (Result<[(name: String, text: String)], RedisError>) -> Void
  ) {
    let key = key("sums")
    commands.send { command in
      command.begin(RedisScript.exchangeSums, keys: [key])
      command.append(name)
      command.append(text)
      command.append(RunRecords.milliseconds(lifetime))
    } completion: { result in
      switch result {
      case .failure(let error): completion(.failure(error))
      case .success(let reply):
        guard reply.kind == .array else { return completion(.failure(Self.unexpected(reply))) }
        var others: [(name: String, text: String)] = []
        var elements = reply.elements
        while let name = elements.next(), let text = elements.next() { others.append((name.text, text.text)) }
        completion(.success(others))
      }
    }
  }

  private static func unexpected(_ reply: RedisReply) -> RedisError {
    .refused(reply.isError ? reply.errorText : "an answer that does not belong to the question")
  }
}

extension GuardStore: RedisConnectionObserver, ChannelListener {
  package func redisBecameReady() { onNews() }
  package func channelOpened() { onNews() }
  package func channelReceived(_ message: RedisReply) { onNews() }
  package func channelClosed() {}
}

extension RedisScript {
  /// Writes a word with a higher number, and tells the one that is there then, with its number.
  /// Keys: the word, a hash. Arguments: number, text, time to live, the channel.
  fileprivate static let exchangeWord = """
    local has = redis.call('HMGET', KEYS[1], 'number', 'text')
    local number = tonumber(has[1] or '0') or 0
    if tonumber(ARGV[1]) > number then
      redis.call('HSET', KEYS[1], 'number', ARGV[1], 'text', ARGV[2])
      redis.call('PEXPIRE', KEYS[1], ARGV[3])
      redis.call('PUBLISH', ARGV[4], KEYS[1])
      return {ARGV[1], ARGV[2]}
    end
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
    return {has[1] or '0', has[2] or ''}
    """

  /// Keeps what a process has counted, with the time, and tells what the others have. What is older than the time to live
  /// is dropped. Keys: a hash. Arguments: the process, its text, time to live.
  fileprivate static let exchangeSums = """
    local time = redis.call('TIME')
    local now = time[1] * 1000 + math.floor(time[2] / 1000)
    redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now) .. ' ' .. ARGV[2])
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
    local all = redis.call('HGETALL', KEYS[1])
    local others = {}
    for i = 1, #all, 2 do
      local at, text = string.match(all[i + 1], '^(%d+) (.*)$')
      if not at or now - at > tonumber(ARGV[3]) then
        redis.call('HDEL', KEYS[1], all[i])
      elseif all[i] ~= ARGV[1] then
        others[#others + 1] = all[i]
        others[#others + 1] = text
      end
    end
    return others
    """
}
