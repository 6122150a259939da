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
    Self.reading.read(reader, into: &self)
    completionEvents = reader.strings("completionEvents") ?? completionEvents
    Self.treatment.read(reader, into: &self)
    if lowWater >= highWater { reader.fault("lowWater", "must be less than \"highWater\" (\(highWater))") }
    watchdogs.read(reader)
  }

  /// How what comes is understood.
  package static let reading: [Setting<StreamSettings>] = [.choice("dialect", \.dialect)]

  /// What clients get of it.
  package static let treatment: [Setting<StreamSettings>] = [
    .switched("keepaliveInLegacy", \.keepaliveInLegacy),
    .time("retry", \.retry, absent: .null),
    .switched("numberEvents", \.numbersEvents),
    .bytes("eventLimit", \.eventLimit, in: 1024...1 << 30),
    .bytes("shieldLimit", \.shieldLimit, in: 1024...1 << 30),
    .bytes("highWater", \.highWater, in: 4096...1 << 30),
    .bytes("lowWater", \.lowWater, in: 0...1 << 30),
    .choice("onHalfClose", \.onHalfClose),
  ]

  /// The legacy shadow keeps this much of an event that comes in pieces: enough to see what it is.
  package static let shadowLimit = 4096
}

extension Watchdogs {
  /// A duration of 0 switches a watchdog off.
  mutating func read(_ reader: JSONReader) {
    Self.settings.read(reader, into: &self)
    if reader.has("firstToken") { firstTokenInLegacy = firstToken }
  }

  package static let settings: [Setting<Watchdogs>] = [
    .time("firstToken", \.firstToken),
    .time("idle", \.idle),
    .time("keepalive", \.keepalive),
    .time("total", \.total),
    .time("clientStall", \.clientStall),
    .time("linger", \.linger),
  ]
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
