package import Flags
package import HTTP
import JSON
package import Loop
import Processes
package import Streams
package import Time

/// What a process must have to be ready for clients.
package enum Readiness: String, CaseIterable, Sendable {
  /// Its listeners and its workers. A backend that is away must not take all replicas out of service.
  case serving
  /// And an upstream that may be asked, on every route.
  case upstreams
}

/// What clients are told of backends that gave no good answer.
package enum ErrorDetail: String, CaseIterable, Sendable {
  /// `full` where clients are on this machine, else `brief`.
  case auto
  /// Who was asked, and what went wrong there.
  case full
  /// That there is no good answer, and the id of the request.
  case brief

  package func isFull(listeningAt address: SocketAddress) -> Bool {
    switch self {
    case .auto: address.isLoopback
    case .full: true
    case .brief: false
    }
  }
}

/// How log lines are written.
package enum LogFormat: String, CaseIterable, Sendable {
  /// `journald` where standard error is systemd's journal, else `json`.
  case auto
  /// One JSON object a line.
  case json
  /// The same with its priority in front, `<4>{…}`, for systemd's journal.
  case journald
}

/// The listener for operators: health, metrics, streams, flags.
package struct AdminSettings: Sendable {
  package var listen = SocketAddress.loopback(port: 8081)
  /// Names that `Host` may have beside IP addresses and `localhost`, lower case and without a port.
  package var hosts: [String] = []
  package var readyWhen = Readiness.serving
  /// Asked for as `Authorization: Bearer …`. Needed when `listen` is not a loopback address.
  package var token: String?
  /// Lets in who only looks: every GET, and nothing that changes anything.
  package var readToken: String?
  /// Lets in who only measures: `/metrics`, `/healthz` and `/readyz`.
  package var scrapeToken: String?
  /// Whether streams may be stopped by POST.
  package var operate = false

  package init() {}

  init(_ reader: JSONReader?, secrets: SecretSource) {
    guard let reader else { return }
    listen = reader.address("listen") ?? listen
    hosts = (reader.strings("hosts") ?? []).map { $0.lowercased() }
    Self.settings.read(reader, into: &self)
    func secret(_ name: String) -> String? {
      let text = reader.secret(name, from: secrets)?.text
      if let text, text.utf8.count < 16 { reader.fault(name, "too short to be a secret: at least 16 characters") }
      return text
    }
    token = secret("token")
    readToken = secret("readToken")
    scrapeToken = secret("scrapeToken")
    for (name, lesser) in [("readToken", readToken), ("scrapeToken", scrapeToken)] where lesser != nil {
      if token == nil { reader.fault(name, "does nothing without \"token\": everybody may do everything then") }
      if lesser == token { reader.fault(name, "is the same as \"token\"") }
    }
    if !reader.has("token"), !listen.isLoopback {
      reader.fault("token", "is missing: an admin listener beyond loopback needs one")
    }
  }

  package static let settings: [Setting<AdminSettings>] = [
    .choice("readyWhen", \.readyWhen), .switched("operate", \.operate),
  ]
}

/// The flag file.
package struct FlagSettings: Sendable {
  /// `nil`: the built-in flags, everything at legacy.
  package var file: String?
  /// Whether to start with the built-in flags when the file is absent or wrong. Otherwise that is a start-up error.
  package var startsWithoutFile = false
  /// What everybody gets without a file.
  package var defaultVariant = Mode.legacy
  /// Where the guard keeps what must survive a restart. `nil`: the service manager's state directory, if there is one,
  /// else beside the flag file, as `FILE.guard`.
  package var guardState: String?
  package var guardPolicy = GuardPolicy()
  /// Whether the gateways share what their guards and operators decide.
  package var guardSharing = GuardSharing.withRuns

  /// The file that has the guard's latch and an operator's kill; `nil` without a place for one.
  package var stateFile: String? { stateFiles.first }

  /// The same, and then where an earlier version kept it.
  package var stateFiles: [String] {
    if let guardState { return [guardState] }
    let directory = Host.environment["STATE_DIRECTORY"]?.split(separator: ":").first.map {
      "\($0)/stream-closing.guard"
    }
    return [directory, file.map { $0 + ".guard" }].compactMap { $0 }
  }

  package init() {}

  init(_ reader: JSONReader?, secrets: SecretSource) {
    guard let reader else { return }
    Self.settings.read(reader, into: &self)
    if let policy = reader.nested("guard") { guardPolicy.read(policy) }
    guardSharing = GuardSharing(reader, secrets: secrets)
  }

  package static let settings: [Setting<FlagSettings>] = [
    .text("file", \.file), .switched("startWithout", \.startsWithoutFile), .choice("default", \.defaultVariant),
    .text("guardState", \.guardState),
  ]
}

/// How it is found whether a client understands `stream_end`.
package struct CapabilitySettings: Sendable {
  /// A request header of the operator's own that says it with `1` or `0`, lower case.
  package var header: String?
  package var detector = CapabilityDetector()

  package init() {}

  init(_ reader: JSONReader?) {
    guard let reader else { return }
    Self.settings.read(reader, into: &self)
    detector.versionRules = reader.nestedArray("versions").compactMap { Self.rule($0) }
  }

  package static let settings: [Setting<CapabilitySettings>] = [.headerName("header", \.header)]

  private static func rule(_ reader: JSONReader) -> VersionRule? {
    reader.require("header")
    let header = reader.fieldName("header")
    let product = reader.string("product")
    let since = reader.version("since")
    let until = reader.version("until")
    let except =
      reader.elements("except", expected: "a version such as \"2.3.0\"") { value, _ in
        value.string.flatMap { SemanticVersion($0) }
      } ?? []
    if let since, let until, !(since < until) { reader.fault("until", "must be later than \"since\"") }
    guard let header else { return nil }
    return VersionRule(header: header, product: product, since: since, until: until, except: except)
  }
}

/// What the shadow does beyond watching legacy streams.
package struct ShadowSettings: Sendable {
  /// Whether a backend is read on for a moment after its legacy client left at the completion event.
  package var readsTails = false

  package init() {}

  init(_ reader: JSONReader?) {
    guard let reader else { return }
    Self.settings.read(reader, into: &self)
  }

  package static let settings: [Setting<ShadowSettings>] = [.switched("tail", \.readsTails)]
}

/// Where a client's stable identity (`targetingKey`) is found: the first that is set and present.
package struct IdentitySettings: Sendable {
  /// Which name of the client's certificate it is; `nil`: none.
  package var certificate: CertificateName?
  package var header: String?
  package var cookie: String?
  package var query: String?
  package var tenantHeader: String?
  package var internalHeader: String?
  /// Request headers that the flag's rules may look at, lower case.
  package var exposedHeaders: [String] = []

  package init() {}

  init(_ reader: JSONReader?) {
    guard let reader else { return }
    Self.settings.read(reader, into: &self)
    exposedHeaders = (reader.strings("headers") ?? []).map { $0.lowercased() }
  }

  package static let settings: [Setting<IdentitySettings>] = [
    .certificateName("certificate", \.certificate), .headerName("header", \.header), .text("cookie", \.cookie),
    .text("query", \.query), .headerName("tenantHeader", \.tenantHeader),
    .headerName("internalHeader", \.internalHeader),
  ]
}

/// What a client may cost before it is refused.
package struct LimitSettings: Sendable {
  package var head = HeadLimits()
  /// From the first byte of a request to the end of its head.
  package var headTimeout = Nanoseconds.seconds(10)
  /// How long a connection may wait for its next request.
  package var keepAliveTimeout = Nanoseconds.seconds(75)
  /// The longest silence inside a request's body, and inside a response that is no event stream.
  package var bodyTimeout = Nanoseconds.seconds(60)
  /// The longest time a client may take nothing of a finished answer.
  package var stallTimeout = Nanoseconds.seconds(30)
  /// The longest silence of both sides of a WebSocket.
  package var tunnelIdle = Nanoseconds.seconds(3600)
  package var requestsPerConnection = 10_000
  /// Client connections in all; 0 means just under half of what the process may open.
  package var connections = 0
  /// Connections to backends in all; 0 means what the clients' leave of what the process may open.
  package var upstreamConnections = 0
  /// Bytes of request bodies that are kept in all.
  package var bodies = 256 << 20

  package init() {}

  init(_ reader: JSONReader?) {
    guard let reader else { return }
    Self.settings.read(reader, into: &self)
  }

  package static let settings: [Setting<LimitSettings>] = [
    .bytes("requestLine", \.head.requestLine, in: 256...65_536),
    .bytes("head", \.head.head, in: 1024...1 << 20),
    .number("fields", \.head.fields, in: 8...1000),
    .time("headTimeout", \.headTimeout),
    .time("keepAliveTimeout", \.keepAliveTimeout),
    .time("bodyTimeout", \.bodyTimeout),
    .time("stallTimeout", \.stallTimeout),
    .time("tunnelIdle", \.tunnelIdle),
    .number("requestsPerConnection", \.requestsPerConnection, in: 1...1_000_000_000),
    .number("connections", \.connections, in: 0...1_000_000),
    .number("upstreamConnections", \.upstreamConnections, in: 0...1_000_000),
    .bytes("bodies", \.bodies, in: 1 << 16...1 << 44),
  ]
}

extension JSONReader {
  /// A name of the client's certificate, or `none`.
  func certificateName(_ name: String) -> CertificateName? {
    guard value(name)?.string != "none" else { return nil }
    return choice(name)
  }

  /// A header's name, lower case.
  func fieldName(_ name: String) -> String? {
    read(name, expected: "the name of a header") { value in
      value.string.flatMap { FieldName($0) == nil ? nil : $0.lowercased() }
    }
  }

  func version(_ name: String) -> SemanticVersion? {
    read(name, expected: "a version such as \"2.3.0\"") { $0.string.flatMap { SemanticVersion($0) } }
  }
}

extension GuardPolicy {
  package static let settings: [Setting<GuardPolicy>] = [
    .time("interval", \.interval, in: .milliseconds(100)...Nanoseconds.seconds(3600)),
    .number("minSamples", \.minSamples, in: 10...1_000_000),
    .number("window", \.window, in: 1...1000),
    .number("failLimit", \.failLimit, in: 1...100),
    .choice("onRegress", \.onRegress),
  ]

  mutating func read(_ reader: JSONReader) {
    Self.settings.read(reader, into: &self)
    let names = GuardMetric.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
    let metrics = reader.elements("dryRun", expected: "one of \(names)") { value, _ in
      value.string.flatMap(GuardMetric.init)
    }
    if let metrics { dryRun = Set(metrics) }
    for metric in GuardMetric.allCases {
      guard let limits = reader.nested(metric.rawValue) else { continue }
      margins[metric] = limits.double("margin", in: 0...10)
      // A time has no limit that would be too much everywhere.
      if metric.isRate { absolutes[metric] = limits.double("absolute", in: 0...1) }
    }
  }
}
