package import Runs
import Streams

/// How a run's status lies in a hash: what its owner says, and of each loop that reads it how many readers it has.
struct StoredStatus {
  /// What stands before the name of each loop that counts readers.
  static let readersField = "readers:"
  static let wishField = "disconnect"

  private var status = RunStatus()
  private var readers: [String: Int] = [:]

  /// Reads the answer to HGETALL of the run's `state`.
  init(_ reply: RedisReply) {
    var fields: [String: String] = [:]
    var elements = reply.elements
    while let name = elements.next(), let value = elements.next() {
      let (name, value) = (name.text, value.text)
      if name.hasPrefix(Self.readersField) {
        if let count = Int64(value), count > 0 {
          readers[String(name.dropFirst(Self.readersField.count))] = Int(clamping: count)
        }
      } else {
        fields[name] = value
      }
    }
    status.wish = fields[Self.wishField].flatMap { DisconnectPolicy(parsing: Array($0.utf8).span) }
    guard let phase = fields["state"].flatMap(RunStatus.Phase.init(rawValue:)) else { return }
    status.progress = RunStatus.Progress(
      phase: phase, attempts: fields["attempts"].flatMap { Int($0) } ?? 0,
      milliseconds: fields["milliseconds"].flatMap { Int($0) })
  }

  /// The loops that count readers.
  var places: [String] { Array(readers.keys) }

  /// - Parameter living: whose readers count.
  func status(of living: Set<String>) -> RunStatus {
    var status = status
    for (place, count) in readers where living.contains(place) {
      let (sum, overflows) = status.readers.addingReportingOverflow(count)
      status.readers = overflows ? .max : sum
    }
    return status
  }
}

/// What became of a status that was to be noted.
enum StatusAnswer {
  case noted
  case failed
  /// To be sent at once.
  case again
}

extension RunRecords {
  package func standing(of run: RunID, _ completion: @escaping (Result<RunStanding, RedisError>) -> Void) {
    standing(of: run, without: nil, completion)
  }

  /// - Parameter place: whose readers are not counted.
  func standing(
    of run: RunID, without place: String?, _ completion: @escaping (Result<RunStanding, RedisError>) -> Void
  ) {
    ask { [self] command in
      command.append("XLEN")
      command.append(key: keys.events(of: run))
    } completion: { [self] result in
      let entries = UInt64(clamping: (try? result.get())?.integer ?? 0)
      status(of: run, without: place) { completion($0.map { RunStanding(status: $0, entries: entries) }) }
    }
  }

  private func status(
    of run: RunID, without place: String?, _ completion: @escaping (Result<RunStatus, RedisError>) -> Void
  ) {
    ask { [self] command in
      command.append("HGETALL")
      command.append(key: keys.state(of: run))
    } completion: { [self] result in
      switch Self.expect(result, { StoredStatus($0) }) {
      case .failure(let error): completion(.failure(error))
      case .success(let stored):
        let places = stored.places.filter { $0 != place }
        living(places) { living in
          // Readers at a gateway of which nothing is known now count: nobody's run ends for that.
          completion(.success(stored.status(of: Set(places.filter { living[$0] != false }))))
        }
      }
    }
  }

  /// Notes what a reader wants to become of a run that nobody reads.
  func note(_ wish: DisconnectPolicy, of run: RunID) {
    redis.send { command in
      command.append("HSET")
      command.append(key: keys.state(of: run))
      command.append(StoredStatus.wishField)
      command.append(wish.description)
    } completion: { _ in
    }
    redis.send { command in
      command.append("PEXPIRE")
      command.append(key: keys.state(of: run))
      command.append(lifetime)
    } completion: { _ in
    }
  }

  /// Notes a place's part of a run's status.
  ///
  func note(
    _ status: RunStatus, of run: RunID, from place: String, _ completion: @escaping (StatusAnswer) -> Void
  ) {
    redis.send { command in
      scripts.begin(.noteStatus, command, keys: [keys.state(of: run)])
      command.append(lifetime)
      command.append(StoredStatus.readersField + place)
      command.append(status.readers)
      guard let progress = status.progress else { return }
      command.append("state")
      command.append(progress.phase.rawValue)
      command.append("attempts")
      command.append(progress.attempts)
      guard let milliseconds = progress.milliseconds else { return }
      command.append("milliseconds")
      command.append(milliseconds)
    } completion: { [self] result in
      if scripts.wereMissing(result) { return completion(.again) }
      completion((try? result.get())?.integer != nil ? .noted : .failed)
    }
  }
}
