import Bytes
import Loop
package import Runs
package import Streams

/// Clients' own names for their streams, under each of which a client has but one reader, on whatever replica.
package final class ClientStreams {
  private let store: RunRecords
  private let watch: KeyWatch

  init(store: RunRecords, channels: RedisChannels) {
    self.store = store
    let keys = store.keys
    watch = KeyWatch(store: store, channels: channels, channel: keys.clientChannel) { message in
      Digest(parsing: message).map { keys.clientStream(of: $0) }
    }
    store.life.add(self)
  }

  /// Makes the name a new reader's: the one that had it is told, on whichever replica it is.
  ///
  /// - Returns: keeps the name for the reader until it is left.
  package func take(
    _ name: Digest, run: RunID, request: Digest?, handler: any ClientStreamHandler
  ) -> any ClientStreamHold {
    let token = String(UInt64.random(in: .min ... .max), radix: 36)
    let key = store.keys.clientStream(of: name)
    let value = Self.value(token, run, request)
    let hold = ClientStreamKey(key: key, token: token, value: value, handler: handler, watch: watch)
    store.redis.send { command in
      command.append("SET")
      command.append(key)
      command.append(value)
      command.append("PX")
      command.append(store.lifetime)
    } completion: { result in
      // What stands there instead may be older than this reader.
      if case .failure = result { hold.leave() }
    }
    // Only wakes those up who look at the key then.
    store.redis.send { command in
      command.append("PUBLISH")
      command.append(store.keys.clientChannel)
      command.append { name.write(to: &$0) }
    } completion: { _ in
    }
    watch.watch(key, handler: hold)
    return hold
  }

  private static func value(_ token: String, _ run: RunID, _ request: Digest?) -> String {
    "\(token) \(run) \(request?.description ?? "-")"
  }

  /// What stands under a name that nobody reads by now.
  static func valueWithoutReader(of run: RunID, _ request: Digest?) -> String { value(nobody, run, request) }
  fileprivate static let nobody = "-"

  /// What the client has last read under the name; `nil` when nothing is known of it.
  package func find(_ name: Digest, _ completion: @escaping (Result<ClientStreamUse?, RedisError>) -> Void) {
    store.ask { [store] command in
      command.append("GET")
      command.append(store.keys.clientStream(of: name))
    } completion: { result in
      completion(
        RunRecords.expect(result) { reply -> ClientStreamUse?? in
          let words = reply.text.split(separator: " ")
          guard words.count == 3, let run = RunID(String(words[1])) else { return .some(nil) }
          return .some(ClientStreamUse(run: run, request: Digest(parsing: Array(words[2].utf8).span)))
        })
    }
  }

  package func close() {
    store.life.remove(self)
    watch.close()
  }
}

extension ClientStreams: StoreLifeObserver {
  package func storeMayHaveForgotten() {
    for case let hold as ClientStreamKey in watch.all { store.keep(hold.key, hold.value) }
  }
}

/// A reader's hold on the key of its client's name for its stream.
private final class ClientStreamKey: ClientStreamHold, KeyHandler {
  let key: String
  let value: String
  private let token: String
  private var handler: (any ClientStreamHandler)?
  private unowned let watch: KeyWatch

  init(key: String, token: String, value: String, handler: any ClientStreamHandler, watch: KeyWatch) {
    self.key = key
    self.token = token
    self.value = value
    self.handler = handler
    self.watch = watch
  }

  func leave() {
    guard handler != nil else { return }
    handler = nil
    watch.stop(key, if: self)
  }

  func keyHolds(_ value: RedisReply, _ key: String) {
    let isOurs = value.withBytes { value in
      guard let space = value.firstIndex(of: 0x20) else { return false }
      let holder = value.extracting(first: space)
      // Nobody's: the run's gateway has written it for a Redis that had lost it.
      return holder.equals(token.utf8Span.span) || holder.equals(ClientStreams.nobody.utf8Span.span)
    }
    if !isOurs { handler?.clientStreamWasTaken() }
  }
}
