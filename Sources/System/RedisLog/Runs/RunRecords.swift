import Bytes
import Loop
package import Runs
package import SSE
package import Streams
package import Time

/// What replicas agree on about runs: whose they are, who may read them, whether they are to stop.
///
/// All answers come from the loop, after the call has returned.
package final class RunRecords {
  package enum OrphanClose: Int64, Sendable {
    /// Somebody has the run.
    case isOwned = 0
    case hadEnded = 1
    case closed = 2
  }

  package let redis: any RedisLink
  package let keys: RunKeys
  package let settings: RedisSettings
  package let life: StoreLife
  let gatewayLease: GatewayLease
  let scripts: LoadedScripts

  package init(redis: any RedisLink, settings: RedisSettings) {
    self.redis = redis
    self.settings = settings
    keys = RunKeys(prefix: settings.prefix, usesHashTags: settings.usesHashTags)
    life = StoreLife(redis: redis, settings: settings, key: keys.epoch)
    gatewayLease = GatewayLease(redis: redis, settings: settings, keys: keys)
    life.add(gatewayLease)
    scripts = LoadedScripts(redis: redis)
  }

  /// Nobody is told of the store's life any more, and nothing is renewed.
  package func close() {
    life.close()
    gatewayLease.close()
  }

  /// The command that tells what is stored. A server before Redis 7.0, and an account that may not use it, fall back on
  /// `PUBLISH`: the script sees to that.
  var publishing: StaticString { settings.cluster == nil ? "PUBLISH" : "SPUBLISH" }

  /// Says that what was told on a channel may not have been heard.
  func tellUnheard(_ channel: String) {
    redis.send { command in
      command.append("PUBLISH")
      command.append(keys.unheardNews)
      command.append(channel)
    } completion: { _ in
    }
  }

  var lifetime: Int { Self.milliseconds(settings.timeToLive) }

  static func milliseconds(_ time: Nanoseconds) -> Int { max(1, Int(time.value / 1_000_000)) }

  // MARK: - Ownership

  /// Makes a run the caller's, for as long as this loop's lease is renewed, unless there is one of that name. Its keys have
  /// to be prolonged (`RunLease`).
  ///
  /// - Parameter token: tells this owner from all others; nobody else may know it.
  package func claim(
    _ run: RunID, token: StreamID, meta: RunMeta, _ completion: @escaping (Result<RunClaim, RedisError>) -> Void
  ) {
    gatewayLease.whenHeld { [self] error in
      if let error { return completion(.failure(error)) }
      claimHeld(run, token: token, meta: meta, completion)
    }
  }

  private func claimHeld(
    _ run: RunID, token: StreamID, meta: RunMeta, _ completion: @escaping (Result<RunClaim, RedisError>) -> Void
  ) {
    ask { [self] command in
      scripts.begin(.claim, command, keys: keys.ofOwner(of: run))
      writeOwner(token, meta, to: command)
    } completion: { result in
      completion(
        Self.expect(result) { reply in
          switch reply.kind {
          case .integer: reply.integer == 1 ? .mine : .others(nil)
          case .array: .others(RunMeta(reply))
          default: nil
          }
        })
    }
  }

  /// What the scripts get that write who owns a run.
  func writeOwner(_ token: StreamID, _ meta: RunMeta, to command: RedisCommand) {
    command.append { token.write(to: &$0) }
    command.append(gatewayLease.title(token.description))
    command.append(lifetime)
    meta.write(to: command)
  }

  /// Makes a run that a worker feeds known to all replicas: the first that asks gives it its stream's id and principal.
  ///
  /// - Parameter meta: what it gets as far as it has none.
  /// - Parameter completion: gets what it has. The caller has to compare the principal with its own.
  package func adopt(
    _ run: RunID, meta: RunMeta, _ completion: @escaping (Result<RunMeta, RedisError>) -> Void
  ) {
    ask { [self] command in
      command.begin(RedisScript.adopt, keys: keys.meta(of: run))
      command.append(lifetime)
      meta.write(to: command)
    } completion: { result in
      completion(Self.expect(result) { RunMeta($0) })
    }
  }

  /// What there is of a run.
  package func lookup(_ run: RunID, _ completion: @escaping (Result<RunState, RedisError>) -> Void) {
    var state = RunState()
    var fault: RedisError?
    // Of a cluster that moves the run just now they may come in any order.
    var missing = 4
    func came<Value>(_ result: Result<Value, RedisError>, _ read: (Value) -> Void) {
      switch result {
      case .success(let value): read(value)
      case .failure(let error): fault = fault ?? error
      }
      missing -= 1
      if missing == 0 { completion(fault.map { .failure($0) } ?? .success(state)) }
    }
    func read(_ name: StaticString, _ key: String, _ read: @escaping (RedisReply) -> Void) {
      ask { command in
        command.append(name)
        command.append(key: key)
      } completion: { result in
        came(Self.expect(result, read)) { _ in }
      }
    }
    read("HGETALL", keys.meta(of: run)) { state.meta = RunMeta($0) }
    read("EXISTS", keys.owner(of: run)) { state.isOwned = $0.integer == 1 }
    read("EXISTS", keys.cancel(of: run)) { state.isCancelled = $0.integer == 1 }
    last(of: run) { result in
      came(result) { (state.last, state.end) = $0 }
    }
  }

  /// The last entry of a run's events, and how the run ended if it says so.
  private func last(
    of run: RunID, _ completion: @escaping (Result<(EntryID?, EndRecord?), RedisError>) -> Void
  ) {
    ask { [self] command in
      command.append("XREVRANGE")
      command.append(key: keys.events(of: run))
      command.append("+")
      command.append("-")
      command.append("COUNT")
      command.append(1)
    } completion: { result in
      completion(
        Self.expect(result) { reply in
          var elements = reply.elements
          guard let entry = elements.next().flatMap({ StoredEntry($0) }) else { return (nil, nil) }
          let end = EndRecord(entry, events: entry.id.high)
          // What ends another's run has an id of its own.
          guard let end, entry.id.high == .max else { return (entry.id, end) }
          return (EntryID(end.events, 0).ofEnd, end)
        })
    }
  }

  /// Ends a run in its log whose owner is gone. For runs that gateways feed.
  ///
  /// - Parameter owner: what named it before it was found to be gone; `nil` when nothing did.
  package func closeOrphan(
    _ run: RunID, of owner: String?, _ completion: @escaping (Result<OrphanClose, RedisError>) -> Void
  ) {
    redis.send { command in
      let ofRun = [keys.owner(of: run), keys.events(of: run), keys.meta(of: run)]
      command.begin(RedisScript.closeOrphan, keys: ofRun + life.keys)
      command.append(lifetime)
      command.append(Self.orphanEnd)
      command.append(owner ?? "")
      command.append(publishing)
      command.append(channel: keys.news(of: run))
      life.writeArguments(to: command)
    } completion: { result in
      completion(Self.expect(result) { $0.integer.flatMap(OrphanClose.init(rawValue:)) })
    }
  }

  /// To be closed with the number of events. Nobody has their bytes: readers count for themselves.
  private static let orphanEnd: StaticString = """
    {"outcome":"gateway_error","reason":"the gateway that had the run is gone (runs.redis.lease)","complete":false
    """

  /// Ends a run in its log that workers feed, unless it has ended: its readers on all replicas are told the same.
  ///
  /// - Parameter last: the last entry that the caller has seen; nothing is done if another has come since. `nil`: whatever
  ///   has come.
  package func endWorkers(
    _ run: RunID, _ end: EndRecord, ifLastIs last: EntryID?,
    _ completion: @escaping (Result<Bool, RedisError>) -> Void
  ) {
    redis.send { command in
      command.begin(RedisScript.endWorkers, keys: keys.events(of: run))
      command.append(lifetime)
      command.append { last?.write(to: &$0) }
      command.append { end.write(to: &$0) }
      guard settings.cluster != nil else { return }
      command.append(publishing)
      command.append(channel: keys.news(of: run))
    } completion: { result in
      completion(Self.expect(result) { $0.integer.map { $0 == 1 } })
    }
  }

  /// For how long what others hold may be missing, because Redis has lost data a moment ago; zero when it is not known
  /// to have.
  package func remainingWait(_ completion: @escaping (Result<Nanoseconds, RedisError>) -> Void) {
    ask { [self] command in
      command.begin(RedisScript.wait, keys: life.keys)
      life.writeArguments(to: command)
    } completion: { [self] result in
      completion(Self.expect(result) { $0.integer.map { $0 > 0 ? wait(of: $0) : .zero } })
    }
  }

  // MARK: - Cancelling

  /// Asks whoever has the run, worker or gateway, to stop it. Says nothing about whether there is such a run.
  package func requestCancel(_ run: RunID, _ completion: @escaping (Result<Void, RedisError>) -> Void) {
    ask { [self] command in
      command.append("SET")
      command.append(key: keys.cancel(of: run))
      command.append("1")
      command.append("EX")
      command.append(300)
    } completion: { result in
      completion(Self.expect(result) { _ in () })
    }
    // Only wakes those up who look at the key then.
    redis.send { command in
      command.append("PUBLISH")
      command.append(keys.cancelChannel)
      command.append(run.description)
    } completion: { _ in
    }
  }

  // MARK: - Idempotency

  /// Notes that `run` is started by `request` under an idempotency key, unless another was before, or may have been
  /// without Redis still knowing it.
  package func claimIdempotency(
    _ key: Digest, run: RunID, request: Digest, timeToLive: Nanoseconds? = nil,
    _ completion: @escaping (Result<KeyClaim, RedisError>) -> Void
  ) {
    ask { [self] command in
      scripts.begin(.keepFirst, command, keys: [keys.idempotency(of: key)] + life.keys)
      command.append("\(run) \(request.description)")
      command.append(timeToLive.map { Self.milliseconds($0) } ?? lifetime)
      life.writeArguments(to: command)
    } completion: { [self] result in
      completion(
        Self.expect(result) { reply in
          if reply.isNull { return .mine }
          if let left = reply.integer { return .wait(wait(of: left)) }
          return reply.withBytes { value in
            guard let space = value.firstIndex(of: 0x20), let run = RunID(parsing: value.extracting(first: space)),
              let request = Digest(parsing: value.extracting(droppingFirst: space + 1))
            else { return nil }
            return .attach(run, request: request)
          }
        })
    }
  }

  /// At most a lease, whatever Redis says.
  private func wait(of milliseconds: Int64) -> Nanoseconds {
    let longest = Int64(Self.milliseconds(settings.lease))
    return .milliseconds(Int(max(1, min(milliseconds, longest))))
  }

  /// The run that was started under a key with `claimIdempotency`; `nil` when there is none.
  package func find(_ key: Digest, _ completion: @escaping (Result<RunID?, RedisError>) -> Void) {
    ask { [self] command in
      command.append("GET")
      command.append(key: keys.idempotency(of: key))
    } completion: { result in
      completion(
        Self.expect(result) { reply -> RunID?? in
          .some(reply.text.split(separator: " ").first.flatMap { RunID(String($0)) })
        })
    }
  }

  /// Takes `claimIdempotency` back, for a run that could not be started: a repeat may try again.
  package func releaseIdempotency(_ key: Digest, run: RunID, request: Digest) {
    redis.send { command in
      command.begin(RedisScript.dropIfEqual, keys: keys.idempotency(of: key))
      command.append("\(run) \(request.description)")
    } completion: { _ in
    }
  }

  /// Keeps a key alive, and gives it this value again if Redis has lost it.
  func keep(_ key: String, _ value: String) {
    redis.send { command in
      scripts.begin(.keepLiving, command, keys: [key])
      command.append(value)
      command.append(lifetime)
    } completion: { [self] result in
      if scripts.wereMissing(result) { keep(key, value) }
    }
  }

  // MARK: - Several keys

  private static let keysAtOnce = 500

  /// What lies under keys, each with its own answer: in a cluster one node may be away and the others not.
  func values(of names: [String], _ completion: @escaping ([Result<String?, RedisError>]) -> Void) {
    // In a cluster keys that lie on several nodes can't be asked for together.
    let size = keys.usesHashTags ? 1 : Self.keysAtOnce
    let pieces = stride(from: 0, to: names.count, by: size).map { $0..<min(names.count, $0 + size) }
    var values = [Result<String?, RedisError>](repeating: .success(nil), count: names.count)
    var missing = pieces.count
    guard missing > 0 else { return completion([]) }
    for piece in pieces {
      ask { command in
        command.append("MGET")
        for name in names[piece] { command.append(key: name) }
      } completion: { result in
        let some = Self.expect(result) { reply -> [String?]? in
          let texts = reply.kind == .array ? reply.elements.map { $0.isNull ? nil : $0.text } : []
          return texts.count == piece.count ? texts : nil
        }
        for (offset, place) in piece.enumerated() { values[place] = some.map { $0[offset] } }
        // One that was asked again after a lost connection may be answered after the last.
        missing -= 1
        if missing == 0 { completion(values) }
      }
    }
  }

  /// Which of some loops are there; those that Redis says nothing of are not in the answer.
  package func living(_ places: [String], _ completion: @escaping ([String: Bool]) -> Void) {
    values(of: places.map { keys.gateway($0) }) { values in
      var living: [String: Bool] = [:]
      for case (let place, .success(let value)) in zip(places, values) { living[place] = value != nil }
      completion(living)
    }
  }

  // MARK: - Answers

  /// Sends a command that may be carried out several times: again when the connection was lost before its answer came,
  /// which is no reason yet to do without Redis, and when Redis has forgotten the script. All of that has the time that
  /// one command has.
  func ask(
    _ write: @escaping (RedisCommand) -> Void, completion: @escaping (Result<RedisReply, RedisError>) -> Void
  ) {
    ask(until: redis.lastTry, write, completion)
  }

  private func ask(
    until end: MonotonicTime, _ write: @escaping (RedisCommand) -> Void,
    _ completion: @escaping (Result<RedisReply, RedisError>) -> Void
  ) {
    redis.send(write) { [self] result in
      let isLost = if case .failure(.connectionLost) = result { true } else { scripts.wereMissing(result) }
      guard isLost, redis.loop.now < end else { return completion(result) }
      ask(until: end, write, completion)
    }
  }

  /// What `read` makes of an answer. An error, and an answer that is not what the command brings, are failures.
  static func expect<Value>(
    _ result: Result<RedisReply, RedisError>, _ read: (RedisReply) -> Value?
  ) -> Result<Value, RedisError> {
    switch result {
    case .failure(let error): return .failure(error)
    case .success(let reply):
      if reply.isError { return .failure(.refused(reply.errorText)) }
      guard let value = read(reply) else { return .failure(.refused("an unexpected answer")) }
      return .success(value)
    }
  }
}
