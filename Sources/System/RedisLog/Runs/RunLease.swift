import Loop
package import Runs
package import SSE
package import Streams
package import Time

/// Keeps a claimed run its owner's, and its keys from running out, until `release()`. That its owner is there tells the lease
/// of the whole loop (`GatewayLease`). Retained by the loop until then.
package final class RunLease {
  private enum Request: UInt64 { case renew, key, givingUp }

  private enum Hold {
    case held
    // Until Redis has said that it knows: an owner that stays behind would keep the run's followers waiting.
    case released
    case dropped
    case over
  }

  private static let pauseAfterFailure = Nanoseconds.milliseconds(500)

  private let store: RunRecords
  private let run: RunID
  private let token: StreamID
  private let meta: RunMeta
  private let idempotency: (key: Digest, request: Digest)?
  private let clientStream: (name: Digest, request: Digest?)?
  private var handle: DeadlineHandle?
  private var isAsking = false
  /// Whether Redis has not taken what it was last told.
  private var isDoubtful = false
  private var hold = Hold.held
  private var lost: (() -> Void)?

  /// - Parameters:
  ///   - token: the one that the run was claimed with.
  ///   - meta: the one that the run was claimed with, for a Redis that loses it.
  ///   - idempotency: the key that started the run, which is to live as long as the run does, and the request.
  ///   - clientStream: the client's own name for the run's stream, for a Redis that loses it, and the request.
  ///   - lost: called once, when another has taken the run or ended it: whatever this owner does with it from then on
  ///     nobody sees.
  package init(
    store: RunRecords, run: RunID, token: StreamID, meta: RunMeta, idempotency: (key: Digest, request: Digest)? = nil,
    clientStream: (name: Digest, request: Digest?)? = nil, lost: @escaping () -> Void
  ) {
    self.store = store
    self.run = run
    self.token = token
    self.meta = meta
    self.idempotency = idempotency
    self.clientStream = clientStream
    self.lost = lost
    let loop = store.redis.loop
    handle = loop.deadlines.add(self, at: loop.now + store.settings.prolonging)
    store.gatewayLease.add(self)
    prolongIdempotency()
  }

  package func settle() {
    // Its keys live for three times as long as they are left alone (`RedisSettings.prolonging`).
    if case .held = hold, !isAsking, !isDoubtful { stopWaiting() }
  }

  /// Gives the run up, which has ended or could not be begun. Its keys stay for their time to live.
  package func release() {
    guard case .held = hold else { return }
    hold = .released
    giveUp()
    prolongIdempotency()
  }

  /// The same for a run that has no stream: those who wait for one on other replicas are told.
  package func drop() {
    guard case .held = hold else { return }
    hold = .dropped
    giveUp()
  }

  private func giveUp() {
    lost = nil
    // From now on only what fails is tried again.
    stopWaiting()
    switch hold {
    case .released:
      send(.givingUp) { command, keys in
        store.scripts.begin(.release, command, keys: keys.ofOwner(of: run))
        command.append { token.write(to: &$0) }
        command.append(store.lifetime)
      }
    case .dropped:
      send(.givingUp) { command, keys in
        command.begin(RedisScript.drop, keys: keys.ofOwner(of: run))
        command.append { token.write(to: &$0) }
        command.append(min(60_000, store.lifetime))
        command.append("{\"outcome\":\"gateway_error\",\"reason\":\"the run has no stream\",\"complete\":false}")
        command.append(store.publishing)
        command.append(channel: keys.news(of: run))
      }
    case .held, .over: break
    }
  }

  private func end() {
    hold = .over
    lost = nil
    store.gatewayLease.remove(self)
    stopWaiting()
  }

  private func stopWaiting() {
    if let handle = handle.take() { store.redis.loop.deadlines.remove(handle) }
  }

  private func renew() {
    sendRenewal()
    prolongIdempotency()
  }

  private func sendRenewal() {
    isAsking = true
    send(.renew) { command, keys in
      store.scripts.begin(.renew, command, keys: keys.ofOwner(of: run))
      store.writeOwner(token, meta, to: command)
    }
  }

  private func prolongIdempotency() {
    guard let (key, request) = idempotency else { return }
    send(.key) { command, keys in
      store.scripts.begin(.keepLiving, command, keys: [keys.idempotency(of: key)])
      command.append("\(run) \(request.description)")
      command.append(store.lifetime)
    }
  }

  private func send(_ request: Request, _ write: (RedisCommand, RunKeys) -> Void) {
    store.redis.send(to: self, tag: request.rawValue) { write($0, store.keys) }
  }
}

extension RunLease: RedisReceiver, DeadlineMember, GatewayLeaseMember {
  func mustAssert() {
    guard case .held = hold else { return giveUp() }
    renew()
    wake(at: store.redis.loop.now + store.settings.prolonging)
    guard let (name, request) = clientStream else { return }
    store.keep(store.keys.clientStream(of: name), ClientStreams.valueWithoutReader(of: run, request))
  }

  package func redisAnswered(_ result: Result<RedisReply, RedisError>, tag: UInt64) {
    guard let request = Request(rawValue: tag) else { return }
    if store.scripts.wereMissing(result) { return sendAgain(request) }
    let number = (try? result.get())?.integer
    switch (request, hold) {
    case (.renew, .held):
      isAsking = false
      isDoubtful = false
      if number == 0 {
        let lost = lost
        end()
        lost?()
      } else if number != 1 {
        // Redis is away or refuses; what counts is whether it is back before another asks.
        tryAgain()
      }
    case (.key, .held): if number == nil { tryAgain() }
    case (.givingUp, .released), (.givingUp, .dropped):
      if number != nil { return end() }
      // Without a connection: as soon as there is one.
      if case .success = result { tryAgain() }
    default: break
    }
  }

  private func sendAgain(_ request: Request) {
    switch (request, hold) {
    case (.renew, .held): sendRenewal()
    case (.givingUp, .released), (.givingUp, .dropped): giveUp()
    case (.key, .held), (.key, .released): prolongIdempotency()
    default: break
    }
  }

  private func tryAgain() {
    isDoubtful = true
    wake(at: store.redis.loop.now + Self.pauseAfterFailure)
  }

  private func wake(at time: MonotonicTime) {
    let deadlines = store.redis.loop.deadlines
    if let handle { deadlines.move(handle, to: time) } else { handle = deadlines.add(self, at: time) }
  }

  package func deadlinePassed(at now: MonotonicTime) -> MonotonicTime? {
    guard case .held = hold else {
      handle = nil
      giveUp()
      return nil
    }
    if !isAsking { renew() }
    return now + store.settings.prolonging
  }
}
