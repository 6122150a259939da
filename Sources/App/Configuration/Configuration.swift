package import HTTP
package import JSON
package import Loop
import Streams
package import Time

/// Everything that can be set, as one immutable value. A reload builds a new one; what is running keeps its own.
package struct Configuration: Sendable {
  /// Where clients connect, and how they are served there.
  package var main = ListenerSettings(address: .loopback(port: 8080))
  /// Where clients connect besides.
  package var listeners: [ListenerSettings] = []
  package var admin = AdminSettings()
  /// Whether other processes may listen at `listen` too: for restarts without a gap.
  package var isShared = false
  /// Event loops, one thread each.
  package var workers = 1
  package var flags = FlagSettings()
  package var upstreams: [UpstreamSettings] = []
  /// In order; the first that matches a request serves it.
  package var routes: [RouteSettings] = []
  package var capability = CapabilitySettings()
  package var identity = IdentitySettings()
  package var shadow = ShadowSettings()
  package var limits = LimitSettings()
  package var runs = CommonRunSettings()
  /// Peers whose `X-Forwarded-*` fields are believed.
  package var trustedProxies: [AddressRange] = []
  /// How long streams may go on after SIGTERM.
  package var drain = Nanoseconds.seconds(30)
  /// How long the port stays open after SIGTERM while `/readyz` says 503 already, so that balancers see it first.
  package var drainDelay = Nanoseconds.zero
  /// How long runs, and who reads them, may go on after SIGTERM.
  package var drainOfRuns: Nanoseconds { runs.drain ?? drain }
  package var log = LogSettings()
  package var tracing = TracingSettings()
  package var errorDetail = ErrorDetail.auto

  package init() {}
}

extension Configuration {
  /// Reads a whole document.
  ///
  /// - Parameter secrets: where the values are that the document only points to.
  /// - Throws: every mistake with its path.
  package init(
    decoding document: JSONValue, secrets: SecretSource = SecretSource(environment: [:])
  ) throws(DecodingFaults) {
    self = try JSONReader.decode(document) { reader in
      var configuration = Configuration()
      configuration.read(reader, secrets)
      return configuration
    }
  }

  /// Every name that is looked for in `document`: what documentation has to tell of.
  package static func survey(_ document: JSONValue) -> [SurveyedName] {
    JSONReader.survey(document) { reader in
      var configuration = Configuration()
      configuration.read(reader, SecretSource(environment: [:]))
    }
  }

  private mutating func read(_ reader: JSONReader, _ secrets: SecretSource) {
    main = ListenerSettings(reader, address: "listen", or: main.address)
    Self.settings.read(reader, into: &self)
    log = LogSettings(reader)
    tracing = TracingSettings(reader.nested("tracing"), secrets: secrets)
    errorDetail = reader.nested("errors")?.choice("detail") ?? errorDetail
    admin = AdminSettings(reader.nested("admin"), secrets: secrets)
    if listen.overlaps(admin.listen) {
      reader.fault(
        at: "admin.listen", "\(admin.listen) and \"listen\", \(listen), are the same place; choose another port")
    }
    readListeners(reader)
    flags = FlagSettings(reader.nested("flags"), secrets: secrets)
    capability = CapabilitySettings(reader.nested("capability"))
    identity = IdentitySettings(reader.nested("identity"))
    shadow = ShadowSettings(reader.nested("shadow"))
    limits = LimitSettings(reader.nested("limits"))
    runs = CommonRunSettings(reader.nested("runs"), secrets: secrets)
    if drainOfRuns < drain {
      reader.fault(at: "runs.drain", "must be at least \"drain\", \(drain.text), which is for all streams")
    }
    trustedProxies =
      reader.elements("trustedProxies", expected: "an address or a range such as \"10.0.0.0/8\"") { value, _ in
        value.string.flatMap(AddressRange.init(parsing:))
      } ?? []
    checkProxyProtocol(reader)
    readRoutes(reader, secrets)
  }

  package static let settings: [Setting<Configuration>] = [
    .switched("share", \.isShared), .number("workers", \.workers, in: 1...256), .time("drain", \.drain),
    .time("drainDelay", \.drainDelay, in: .zero...Nanoseconds.seconds(3600)),
  ]

  private mutating func readRoutes(_ reader: JSONReader, _ secrets: SecretSource) {
    let stream = StreamSettings(reader.nested("stream"), defaults: StreamSettings())
    let defaults = RouteDefaults(reader.nested("defaults"))
    let named = reader.nestedMembers("upstreams")
    upstreams = named.compactMap { name, inner in
      UpstreamSettings(named: name, inner, health: defaults.health, secrets: secrets)
    }
    var names = Set(named.map(\.name))
    var lone: String?
    if let url = reader.string("upstream"),
      var upstream = UpstreamSettings(url: url, fault: { reader.fault("upstream", $0) })
    {
      upstream.health = defaults.health
      upstreams.append(upstream)
      names.insert(upstream.name)
      lone = upstream.name
    }
    routes = reader.nestedArray("routes").map { inner in
      RouteSettings(inner, defaults: defaults, stream: stream, upstreams: names)
    }
    checkNames(reader)
    checkRedaction(reader)
    // `upstream` alone is the catch-all; with routes it is what remains behind them.
    if let lone {
      let upstreams = [RouteUpstream(name: lone, tier: 0)]
      routes.append(RouteSettings(name: "default", upstreams: upstreams, defaults: defaults, stream: stream))
    }
    for (index, route) in routes.enumerated() where route.runs?.needsRedis == true && runs.redis == nil {
      reader.fault(at: "routes[\(index)].runs", "needs \"runs.redis\" at the top of the configuration")
    }
    // A value that is wrong is told by itself.
    if routes.isEmpty, !reader.has("upstream") {
      reader.fault("upstream", "no backend is given: set \"upstream\" to its URL, or \"upstreams\" and \"routes\"")
    }
    for index in upstreams.indices { upstreams[index].connectTimeout = connectTimeout(of: upstreams[index]) }
  }

  /// Names stand in metrics and log lines, where they must be short texts of which no two are the same.
  private func checkNames(_ reader: JSONReader) {
    var seen: Set<String> = []
    for (index, route) in routes.enumerated() where !route.name.isEmpty {
      let path = "routes[\(index)].name"
      if !Self.isName(route.name) { reader.fault(at: path, Self.nameRule) }
      if !seen.insert(route.name).inserted { reader.fault(at: path, "there is a route \"\(route.name)\" already") }
    }
    for upstream in upstreams where !Self.isName(upstream.name) {
      reader.fault(at: "upstreams[\"\(upstream.name)\"]", Self.nameRule)
    }
  }

  /// The templates of all paths that are served.
  package var paths: [PathTemplate] {
    routes.compactMap(\.path) + [runs.streamPath, runs.runPath, runs.readPath].compactMap(\.self)
  }

  /// A name that no path has would hide nothing.
  private func checkRedaction(_ reader: JSONReader) {
    let known = paths.flatMap(\.captureNames)
    for name in log.redact.sorted() where !known.contains(name) {
      let hint = Spelling.nearest(to: name, among: known).map { "; did you mean \"\($0)\"?" } ?? ""
      reader.fault(at: "log.redact", "no path has a parameter \":\(name)\"\(hint)")
    }
  }

  private static let nameRule = "a name has 1 to 100 bytes and no control character"

  private static func isName(_ text: String) -> Bool {
    (1...100).contains(text.utf8.count) && text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7F }
  }

  private func connectTimeout(of upstream: UpstreamSettings) -> Nanoseconds {
    let users = routes.filter { $0.upstreams.contains { $0.name == upstream.name } }
    return users.map { upstream.timeouts.resolved(over: $0.waterfall.timeouts).connect }.max()
      ?? upstream.connectTimeout
  }
}

extension JSONReader {
  /// `127.0.0.1:8080`, `[::1]:8080`, or `:8080` for every address of the machine.
  func address(_ name: String) -> SocketAddress? {
    read(name, expected: "an address with a port, such as \"127.0.0.1:8080\"", Self.address)
  }

  private static func address(_ value: JSONValue) -> SocketAddress? {
    value.string.flatMap { SocketAddress(parsing: $0.hasPrefix(":") ? "0.0.0.0" + $0 : $0) }
  }

  /// The same, or `unix:/run/fermata.sock` for a socket in the file system.
  func listenAddress(_ name: String) -> SocketAddress? {
    let longest = SocketAddress.longestPath - 1
    let expected =
      "an address with a port, such as \"127.0.0.1:8080\", or \"unix:\" and a path from / on of at most \(longest) bytes"
    return read(name, expected: expected) { value in
      guard let text = value.string, text.hasPrefix("unix:") else { return Self.address(value) }
      let path = text.dropFirst(5)
      // One byte is for the name that a new socket has until it takes the path.
      guard path.hasPrefix("/"), !path.hasSuffix("/"), path.utf8.count <= longest else { return nil }
      return SocketAddress(unix: String(path))
    }
  }
}
