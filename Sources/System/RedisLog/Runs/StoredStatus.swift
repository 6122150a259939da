package import Runs
import Streams

// How a run's status lies in a hash.
extension RunStatus {
  /// What stands before the name of each place that counts readers.
  static let readersField = "readers:"
  static let wishField = "disconnect"

  /// Reads the answer to HGETALL of the run's `state`.
  ///
  /// - Parameters:
  ///   - now: Redis's own time; counts that nobody has confirmed until then are left out.
  ///   - place: whose count is left out too.
  init(_ reply: RedisReply, at now: Int64, without place: String?) {
    let own = place.map { Self.readersField + $0 }
    var fields: [String: String] = [:]
    var elements = reply.elements
    self.init()
    while let name = elements.next(), let value = elements.next() {
      let (name, value) = (name.text, value.text)
      guard name.hasPrefix(Self.readersField) else {
        fields[name] = value
        continue
      }
      if name == own { continue }
      // `<count> <until when it counts>`
      let parts = value.split(separator: " ").map { Int64($0) }
      if parts.count == 2, let count = parts[0], let until = parts[1], count > 0, until > now {
        let (sum, overflows) = readers.addingReportingOverflow(Int(clamping: count))
        readers = overflows ? .max : sum
      }
    }
    wish = fields[Self.wishField].flatMap { DisconnectPolicy(parsing: Array($0.utf8).span) }
    guard let phase = fields["state"].flatMap(Phase.init(rawValue:)) else { return }
    progress = Progress(
      phase: phase, attempts: fields["attempts"].flatMap { Int($0) } ?? 0,
      milliseconds: fields["milliseconds"].flatMap { Int($0) })
  }
}

extension RedisReply {
  /// What `TIME` answers, in milliseconds; 0 when this is no such answer.
  fileprivate var serverTime: Int64 {
    guard let (seconds, rest) = firstTwo, let seconds = Int64(seconds.text), let rest = Int64(rest.text) else {
      return 0
    }
    let (milliseconds, overflows) = seconds.multipliedReportingOverflow(by: 1000)
    let (time, overflowsAgain) = milliseconds.addingReportingOverflow(rest / 1000)
    return overflows || overflowsAgain ? 0 : time
  }
}

extension RunRecords {
  package func standing(of run: RunID, _ completion: @escaping (Result<RunStanding, RedisError>) -> Void) {
    standing(of: run, without: nil, completion)
  }

  /// - Parameter place: whose readers are not counted.
  func standing(
    of run: RunID, without place: String?, _ completion: @escaping (Result<RunStanding, RedisError>) -> Void
  ) {
    var standing = RunStanding()
    var now: Int64 = 0
    ask { command in
      command.append("TIME")
    } completion: { result in
      if case .success(let reply) = result { now = reply.serverTime }
    }
    ask { [self] command in
      command.append("XLEN")
      command.append(keys.events(of: run))
    } completion: { result in
      if case .success(let reply) = result { standing.entries = UInt64(clamping: reply.integer ?? 0) }
    }
    ask { [self] command in
      command.append("HGETALL")
      command.append(keys.state(of: run))
    } completion: { result in
      completion(
        Self.expect(result) { reply in
          standing.status = RunStatus(reply, at: now, without: place)
          return standing
        })
    }
  }

  /// Notes what a reader wants to become of a run that nobody reads.
  func note(_ wish: DisconnectPolicy, of run: RunID) {
    redis.send { command in
      command.append("HSET")
      command.append(keys.state(of: run))
      command.append(RunStatus.wishField)
      command.append(wish.description)
    } completion: { _ in
    }
    redis.send { command in
      command.append("PEXPIRE")
      command.append(keys.state(of: run))
      command.append(lifetime)
    } completion: { _ in
    }
  }

  /// Notes a place's part of a run's status.
  ///
  /// - Parameters:
  ///   - place: names who counts the readers.
  ///   - life: for how long the count is believed.
  func note(_ status: RunStatus, of run: RunID, from place: String, life: Int) {
    redis.send { command in
      command.begin(RedisScript.noteStatus, keys: keys.state(of: run))
      command.append(lifetime)
      command.append(RunStatus.readersField + place)
      command.append(status.readers)
      command.append(life)
      guard let progress = status.progress else { return }
      command.append("state")
      command.append(progress.phase.rawValue)
      command.append("attempts")
      command.append(progress.attempts)
      guard let milliseconds = progress.milliseconds else { return }
      command.append("milliseconds")
      command.append(milliseconds)
    } completion: { _ in
    }
  }
}
