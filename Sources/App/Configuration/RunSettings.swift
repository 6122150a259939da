package import HTTP
import JSON
package import Streams
package import Time

/// How the runs of a route are kept, so that readers may come, go and come back.
package struct RunSettings: Sendable, Equatable {
  /// What becomes of a run when its last reader leaves.
  package var onDisconnect = DisconnectPolicy.cancel
  /// Whether a request may say it with a header of its own (`X-On-Disconnect`).
  package var clientMayChoose = true
  /// How long a run can still be read after its end.
  package var timeToLive = Nanoseconds.seconds(600)
  /// Bytes of all events of a run; a larger one is ended.
  package var limit = 10_000_000
  /// Bytes of memory for a run, the oldest events are dropped beyond it; 0: no bound but `limit`.
  package var window = 0
  /// Bytes of a request's body that comes with an `Idempotency-Key` or a client's stream id: it is compared with the one
  /// that came before.
  package var bodyLimit = 4 << 20
  /// The capture of the route's path that names the run. `nil`: its stream's id does.
  package var name: String?
  /// Whether graceful clients are told at once that their prompt was taken.
  package var announces = false
  /// Whether JSON payloads get `streamId` and `index`, for graceful clients.
  package var stamps = false
  /// The request headers in which a client names its stream and its message, lower case.
  package var clientStreamHeader = "x-client-stream-id"
  package var clientMessageHeader = "x-client-message-id"
  package var store = RunStoreKind.memory
  package var whenStoreFails = StoreFailure.degrade
  package var source = RunFeedKind.upstream
  /// The channel of a run; `<id>` becomes the run's id.
  package var channel = "ai:run:<id>:pubsub"
  /// The BullMQ queue whose jobs are the runs.
  package var queue: String?

  /// The capture of the path that names a run that workers feed.
  package var workerCapture: String { name ?? CommonRunSettings.runCapture }

  package init() {}

  /// Reads `runs`: an object, or `true` for what goes without saying. `nil`: the route has none.
  init?(_ reader: JSONReader, path: PathTemplate?) {
    guard let value = reader.value("runs"), value != .bool(false) else { return nil }
    if value == .bool(true) { return }
    guard let inner = reader.nested("runs") else { return nil }
    read(inner, path: path)
  }

  private mutating func read(_ reader: JSONReader, path: PathTemplate?) {
    Self.settings.read(reader, into: &self)
    if let name, path?.captureNames.contains(name) != true {
      reader.fault("name", "the route's path has no \":\(name)\"")
    }
    if !channel.contains("<id>") { reader.fault("channel", "must hold \"<id>\"") }
    guard source != .upstream else { return }
    if path?.captureNames.contains(workerCapture) != true {
      reader.fault("source", "the route's path must name the run: it has no \":\(workerCapture)\"")
    }
    if source == .bullmq, queue == nil { reader.fault("queue", "is needed with \"source\": \"bullmq\"") }
  }

  package static let settings: [Setting<RunSettings>] = [
    .text(
      "onDisconnect", \.onDisconnect, expected: "\"cancel\", \"continue\", \"grace\" or \"grace=<seconds>\"",
      parse: { DisconnectPolicy(parsing: $0.utf8Span.span) }, text: \.text),
    .switched("clientMayChoose", \.clientMayChoose),
    .time("ttl", \.timeToLive),
    .bytes("limit", \.limit, in: 1024...1 << 40),
    .bytes("window", \.window, in: 0...1 << 40),
    .bytes("bodyLimit", \.bodyLimit, in: 0...1 << 30),
    .text("name", \.name),
    .switched("announce", \.announces),
    .switched("stamp", \.stamps),
    .headerName("clientStreamHeader", \.clientStreamHeader),
    .headerName("clientMessageHeader", \.clientMessageHeader),
    .choice("store", \.store),
    .choice("whenStoreFails", \.whenStoreFails),
    .choice("source", \.source),
    .text("channel", \.channel),
    .text("queue", \.queue),
  ]

  /// Whether the runs that a `GET` reads are written by workers, not by backends.
  package var isFedByWorkers: Bool { source != .upstream }
  /// Whether the runs are kept where other replicas can read them.
  package var isStored: Bool { store != .memory }
  /// Whether there must be a Redis.
  package var needsRedis: Bool { store == .redis || isFedByWorkers }
}

/// What all runs of the process share.
package struct CommonRunSettings: Sendable {
  /// Bytes of memory for the logs of all runs together.
  package var memory = 1 << 30
  /// Runs in all that go on though nobody reads them, and how many of them one principal may have.
  package var unread = 1000
  package var unreadPerPrincipal = 100
  /// How long runs, and who reads them, may go on when the gateway drains; `nil`: as long as other streams.
  package var drain: Nanoseconds?
  /// The percentage of `memory` that the runs of one principal may hold whatever the others do.
  package var memoryShare = 50
  /// Runs in all of which this process makes Redis keep something, and how many of them one principal may have whatever the
  /// others do.
  package var stored = 200_000
  package var storedPerPrincipal = 20_000
  /// The request header that says who a client is. `nil`: those in which providers expect keys do.
  package var principalHeader: String?
  /// Which name of a client's certificate says it too; `nil`: none.
  package var principalCertificate: CertificateName?
  /// Cookies and query parameters that say it too.
  package var principalCookies: [String] = []
  package var principalQuery: [String] = []
  /// Where a stream can be resumed by its id.
  package var streamPath = CommonRunSettings.template("/fermata/streams/:streamId")
  /// Where a run can be looked at (GET) and stopped (DELETE), and where it can be read.
  package var runPath = CommonRunSettings.template("/api/agents/run/:runId")
  package var readPath = CommonRunSettings.template("/api/agents/stream/:runId")

  /// Which pages may use these paths; `nil`: the policies of the routes say it, unless `ignoresRoutesCORS`.
  package var cors: CORSPolicy?
  package var ignoresRoutesCORS = false
  /// The store that all replicas share.
  package var redis: RedisRunSettings?

  package init() {}

  init(_ reader: JSONReader?, secrets: SecretSource) {
    guard let reader else { return }
    redis = RedisRunSettings(reader.nested("redis"), secrets: secrets)
    Self.settings.read(reader, into: &self)
    if !reader.has("storedPerPrincipal") { storedPerPrincipal = min(storedPerPrincipal, stored) }
    if storedPerPrincipal > stored { reader.fault("storedPerPrincipal", "must be at most \"stored\", \(stored)") }
    principalCookies = reader.tokens("principalCookies", expected: "the name of a cookie")
    principalQuery = reader.tokens("principalQuery", expected: "the name of a query parameter")
    streamPath = Self.path(reader, "streamPath", naming: Self.streamCapture, default: streamPath)
    runPath = Self.path(reader, "runPath", naming: Self.runCapture, default: runPath)
    readPath = Self.path(reader, "readPath", naming: Self.runCapture, default: readPath)
    cors = CORSPolicy.read(reader, default: nil)
    ignoresRoutesCORS = reader.value("cors")?.bool == false
  }

  package static let settings: [Setting<CommonRunSettings>] = [
    .bytes("memory", \.memory, in: 1 << 16...1 << 44),
    .number("unread", \.unread, in: 0...1_000_000),
    .number("unreadPerPrincipal", \.unreadPerPrincipal, in: 0...1_000_000),
    .time("drain", \.drain, absent: .null),
    .number("memoryShare", \.memoryShare, in: 1...100),
    .number("stored", \.stored, in: 1...10_000_000),
    .number("storedPerPrincipal", \.storedPerPrincipal, in: 1...10_000_000),
    .headerName("principalHeader", \.principalHeader),
    .certificateName("principalCertificate", \.principalCertificate),
  ]

  /// Who a client is: all of these together that a request has.
  package var principalRules: CredentialRules {
    CredentialRules(
      headers: principalHeader.map { [$0] } ?? CredentialRules.keyHeaders, cookies: principalCookies,
      parameters: principalQuery, certificate: principalCertificate)
  }

  /// `false` switches the endpoint off.
  private static func path(
    _ reader: JSONReader, _ name: String, naming capture: String, default fallback: PathTemplate?
  ) -> PathTemplate? {
    guard reader.value(name) != .bool(false) else { return nil }
    guard reader.has(name) else { return fallback }
    guard let path = reader.template(name) else { return nil }
    if !path.captureNames.contains(capture) { reader.fault(name, "must hold \":\(capture)\"") }
    return path
  }

  private static func template(_ text: String) -> PathTemplate? { try? PathTemplate(parsing: text) }

  var document: JSONValue {
    var object = JSONObject(Self.settings.members(of: self))
    object["principalCookies"] = .array(principalCookies.map { .string($0) })
    object["principalQuery"] = .array(principalQuery.map { .string($0) })
    for (name, path) in [("streamPath", streamPath), ("runPath", runPath), ("readPath", readPath)] {
      object[name] = path.map { .string($0.description) } ?? false
    }
    object["cors"] = cors?.document ?? (ignoresRoutesCORS ? false : .null)
    object["redis"] = redis?.document ?? .null
    return .object(object)
  }

  /// How a run is named in a path.
  package static let streamCapture = "streamId"
  package static let runCapture = "runId"
}

extension JSONReader {
  /// A list of names of token characters, each given once.
  fileprivate func tokens(_ name: String, expected: String) -> [String] {
    let names =
      elements(name, expected: expected) { value, _ in
        value.string.flatMap { FieldName($0) == nil ? nil : $0 }
      } ?? []
    if Set(names).count < names.count { fault(name, "holds a name twice") }
    return names
  }
}

extension DisconnectPolicy {
  /// As it is written in settings and in requests.
  package var text: String {
    switch self {
    case .cancel: "cancel"
    case .grace(let time): "grace=\(Int(time.seconds))"
    case .continue: "continue"
    }
  }
}
