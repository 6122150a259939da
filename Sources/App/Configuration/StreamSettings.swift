import JSON
package import Streams
package import Time

/// How the event streams of a route are treated.
package struct StreamSettings: Sendable {
  /// What the end of a client's input means while its response goes on.
  package enum HalfClose: String, CaseIterable, Sendable {
    /// Nothing: it may have said all it has to say.
    case ignore
    /// That the client is gone.
    case cancel
  }

  package var dialect = Dialect.auto
  package var completionEvents = EventClassifier.defaultCompletionNames
  package var watchdogs = Watchdogs()
  /// Whether comment lines are sent to legacy and shield clients too.
  package var keepaliveInLegacy = false
  /// The reconnection time told to graceful clients.
  package var retry: Nanoseconds?
  /// Whether graceful clients get ids.
  package var numbersEvents = true
  /// Bytes of one event.
  package var eventLimit = 1 << 20
  /// Bytes that shield holds back.
  package var shieldLimit = 10_000_000
  /// Unsent bytes at which the backend is no longer read, and at which it is read again.
  package var highWater = 256 << 10
  package var lowWater = 64 << 10
  package var onHalfClose = HalfClose.ignore

  package init() {}

  init(_ reader: JSONReader?, defaults: StreamSettings) {
    self = defaults
    guard let reader else { return }
    dialect = reader.choice("dialect") ?? dialect
    completionEvents = reader.strings("completionEvents") ?? completionEvents
    keepaliveInLegacy = reader.bool("keepaliveInLegacy", default: keepaliveInLegacy)
    retry = reader.duration("retry") ?? retry
    numbersEvents = reader.bool("numberEvents", default: numbersEvents)
    eventLimit = reader.byteSize("eventLimit", in: 1024...1 << 30) ?? eventLimit
    shieldLimit = reader.byteSize("shieldLimit", in: 1024...1 << 30) ?? shieldLimit
    highWater = reader.byteSize("highWater", in: 4096...1 << 30) ?? highWater
    lowWater = reader.byteSize("lowWater", in: 0...1 << 30) ?? lowWater
    if lowWater >= highWater { reader.fault("lowWater", "must be less than \"highWater\" (\(highWater))") }
    onHalfClose = reader.choice("onHalfClose") ?? onHalfClose
    watchdogs.read(reader)
  }

  /// The legacy shadow keeps this much of an event that comes in pieces: enough to see what it is.
  package static let shadowLimit = 4096
}

extension Watchdogs {
  /// A duration of 0 switches a watchdog off.
  mutating func read(_ reader: JSONReader) {
    firstToken = reader.duration("firstToken", default: firstToken)
    if reader.has("firstToken") { firstTokenInLegacy = firstToken }
    idle = reader.duration("idle", default: idle)
    keepalive = reader.duration("keepalive", default: keepalive)
    total = reader.duration("total", default: total)
    clientStall = reader.duration("clientStall", default: clientStall)
    linger = reader.duration("linger", default: linger)
  }
}

extension StreamSettings {
  /// Agents think for long, and nobody may take their silence for an end: what goes without saying where workers feed the
  /// runs, as far as the route's own `stream` says nothing else.
  mutating func suitWorkers(asFarAs own: JSONValue?) {
    if own?["retry"] == nil { retry = .seconds(10) }
    if own?["keepalive"] == nil { watchdogs.keepalive = .seconds(25) }
    if own?["idle"] == nil { watchdogs.idle = .seconds(300) }
    if own?["firstToken"] == nil { watchdogs.firstToken = .seconds(300) }
  }
}
