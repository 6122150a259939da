import Bytes

/// The scripts that most runs need: sent by the name that Redis gives each, once it has the text.
final class LoadedScripts {
  enum Script: Int, CaseIterable {
    case append, claim, renew, release, noteStatus, keepFirst, keepLiving

    fileprivate var text: String {
      switch self {
      case .append: RedisScript.append
      case .claim: RedisScript.claim
      case .renew: RedisScript.renew
      case .release: RedisScript.release
      case .noteStatus: RedisScript.noteStatus
      case .keepFirst: RedisScript.keepFirst
      case .keepLiving: RedisScript.keepLiving
      }
    }
  }

  private let redis: any RedisLink
  /// The SHA-1 of each text in hexadecimal; empty while it is not known that this server has it.
  private var digests = noDigests
  private static let noDigests = [[UInt8]](repeating: [], count: Script.allCases.count)

  init(redis: any RedisLink) {
    self.redis = redis
    redis.add(self)
  }

  /// Begins a command that runs it.
  func begin(_ script: Script, _ command: RedisCommand, keys: [String]) {
    let digest = digests[script.rawValue]
    if digest.isEmpty {
      command.append("EVAL")
      command.append(script.text)
    } else {
      command.append("EVALSHA")
      command.append(digest)
    }
    command.append(keys.count)
    for key in keys { command.append(key: key) }
  }

  /// Whether Redis has not carried a command out because it has forgotten the script. The texts are sent again from now
  /// on: who sends the command again does that once.
  func wereMissing(_ result: Result<RedisReply, RedisError>) -> Bool {
    guard case .success(let reply) = result, reply.isError, reply.withBytes({ RedisFault($0) }) == .noScript else {
      return false
    }
    if digests != Self.noDigests {
      digests = Self.noDigests
      load()
    }
    return true
  }

  private func load() {
    for script in Script.allCases {
      redis.sendToAll(self, tag: UInt64(script.rawValue)) { command in
        command.append("SCRIPT")
        command.append("LOAD")
        command.append(script.text)
      }
    }
  }
}

extension LoadedScripts: RedisConnectionObserver, RedisReceiver {
  package func redisBecameReady() { load() }
  package func redisWasLost() { digests = Self.noDigests }
  package func redisHasRoom() {}

  package func redisAnswered(_ result: Result<RedisReply, RedisError>, tag: UInt64) {
    // An account that may not load it sends the text each time.
    guard case .success(let reply) = result, reply.kind == .bulk else { return }
    digests[Int(tag)] = reply.bytes
  }
}
