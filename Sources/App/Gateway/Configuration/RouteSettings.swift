package import HTTP
import JSON
package import Streams
package import Time

/// Which requests go where, and how their streams are treated.
package struct RouteSettings: Sendable {
  package var name: String
  /// A path, or the beginning of one with `*` at its end. `nil`: every path.
  package var path: String?
  /// `nil`: every method.
  package var methods: [String]?
  package var upstreams: [String]
  package var stream: StreamSettings

  init(name: String, upstreams: [String], stream: StreamSettings) {
    self.name = name
    self.upstreams = upstreams
    self.stream = stream
  }

  init(_ reader: JSONReader, defaults: StreamSettings, upstreams known: Set<String>) {
    reader.require("name")
    name = reader.string("name", default: "")
    path = reader.read("path", expected: "a path that starts with \"/\", with \"*\" only at its end") { value in
      guard let text = value.string, text.hasPrefix("/"), !text.dropLast().contains("*") else { return nil }
      return text
    }
    methods = reader.strings("methods")
    reader.require("upstreams")
    upstreams = reader.strings("upstreams") ?? []
    for (index, upstream) in upstreams.enumerated() where !known.contains(upstream) {
      reader.fault(
        "upstreams",
        "[\(index)]: there is no upstream \"\(upstream)\"; known: \(known.sorted().joined(separator: ", "))")
    }
    if reader.has("upstreams"), upstreams.isEmpty { reader.fault("upstreams", "is empty") }
    stream = StreamSettings(reader.nested("stream"), defaults: defaults)
  }
}

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
  static let shadowLimit = 4096
}

extension Watchdogs {
  /// A duration of 0 switches a watchdog off.
  mutating func read(_ reader: JSONReader) {
    firstToken = reader.duration("firstToken", default: firstToken)
    idle = reader.duration("idle", default: idle)
    keepalive = reader.duration("keepalive", default: keepalive)
    total = reader.duration("total", default: total)
    clientStall = reader.duration("clientStall", default: clientStall)
    linger = reader.duration("linger", default: linger)
  }
}

/// One backend.
package struct UpstreamSettings: Sendable {
  package var name: String
  package var url: UpstreamURL
  package var connectTimeout = Nanoseconds.seconds(5)
  /// Idle connections kept for reuse, per worker.
  package var idleConnections = 256
  /// How long one is kept.
  package var idleTimeout = Nanoseconds.seconds(60)
  /// Whether the backend sees the client's `Host` instead of its own.
  package var preservesHost = false

  /// An upstream without a name of its own is named after its authority.
  init?(url text: String, fault: (String) -> Void) {
    let url: UpstreamURL
    do {
      url = try UpstreamURL(parsing: text)
    } catch {
      fault("\(error); expected something like \"http://127.0.0.1:9000\"")
      return nil
    }
    guard url.scheme == .http else {
      fault("https to a backend is not supported by this version; use http")
      return nil
    }
    self.init(name: "\(url.host):\(url.port)", url: url)
  }

  init?(named name: String, _ reader: JSONReader) {
    reader.require("url")
    let text = reader.string("url")
    guard let text, let parsed = UpstreamSettings(url: text, fault: { reader.fault("url", $0) }) else { return nil }
    self.init(name: name, url: parsed.url)
    connectTimeout = reader.duration("connectTimeout", default: connectTimeout)
    idleConnections = reader.int("idleConnections", in: 0...10_000, default: idleConnections)
    idleTimeout = reader.duration("idleTimeout", default: idleTimeout)
    preservesHost = reader.bool("preserveHost", default: preservesHost)
  }

  init(name: String, url: UpstreamURL) {
    self.name = name
    self.url = url
  }
}
