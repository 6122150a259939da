import Bytes
import Loop
package import Runs
package import Streams
import Synchronization

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
    let token = ReaderToken.next()
    let key = store.keys.clientStream(of: name)
    let value = Self.value(token.description, run, request)
    let hold = ClientStreamKey(key: key, token: token, value: value, handler: handler, streams: self)
    write(hold)
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

  fileprivate func write(_ hold: ClientStreamKey) {
    store.redis.send { command in
      command.append("SET")
      command.append(key: hold.key)
      command.append(hold.value)
      command.append("PX")
      command.append(store.lifetime)
    } completion: { result in
      // What stands there instead may be older than this reader.
      if case .failure = result { hold.leave() }
    }
  }

  fileprivate func stopWatching(_ hold: ClientStreamKey) { watch.stop(hold.key, if: hold) }

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
      command.append(key: store.keys.clientStream(of: name))
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

/// What tells one reader of a client's own name from all others, and of two in one process the later one.
private struct ReaderToken: CustomStringConvertible {
  private static let here = String(UInt64.random(in: .min ... .max), radix: 36)
  private static let count = Atomic<UInt64>(0)

  private let process: Substring
  private let number: UInt64

  static func next() -> ReaderToken {
    ReaderToken(process: here[...], number: count.add(1, ordering: .relaxed).newValue)
  }

  private init(process: Substring, number: UInt64) {
    self.process = process
    self.number = number
  }

  /// - Returns: `nil` when it is none of this release.
  init?(_ text: String) {
    let parts = text.split(separator: ".")
    guard parts.count == 2, let number = UInt64(parts[1], radix: 36) else { return nil }
    self.init(process: parts[0], number: number)
  }

  func isOlder(than other: ReaderToken) -> Bool { process == other.process && number < other.number }

  var description: String { "\(process).\(String(number, radix: 36))" }
}

/// A reader's hold on the key of its client's name for its stream.
private final class ClientStreamKey: ClientStreamHold, KeyHandler {
  let key: String
  let value: String
  private let token: ReaderToken
  private var handler: (any ClientStreamHandler)?
  private unowned let streams: ClientStreams

  init(key: String, token: ReaderToken, value: String, handler: any ClientStreamHandler, streams: ClientStreams) {
    self.key = key
    self.token = token
    self.value = value
    self.handler = handler
    self.streams = streams
  }

  func leave() {
    guard handler != nil else { return }
    handler = nil
    streams.stopWatching(self)
  }

  func keyHolds(_ value: RedisReply, _ key: String) {
    let holder = value.withBytes { value in
      String(copying: value.extracting(first: value.firstIndex(of: 0x20) ?? 0))
    }
    // Nobody's: the run's gateway has written it for a Redis that had lost it.
    if holder == token.description || holder == ClientStreams.nobody { return }
    // One that came before, on another loop, whose connection to Redis was slower.
    if let other = ReaderToken(holder), other.isOlder(than: token) { return streams.write(self) }
    handler?.clientStreamWasTaken()
  }
}
