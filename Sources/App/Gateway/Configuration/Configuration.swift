package import JSON
package import Loop
import Streams
package import Telemetry
package import Time

/// Everything that can be set, as one immutable value. A reload builds a new one; what is running keeps its own.
package struct Configuration: Sendable {
  /// Where clients connect.
  package var listen = SocketAddress.loopback(port: 8080)
  package var admin = AdminSettings()
  /// Event loops, one thread each.
  package var workers = 1
  package var flags = FlagSettings()
  package var upstreams: [UpstreamSettings] = []
  /// In order; the first that matches a request serves it.
  package var routes: [RouteSettings] = []
  package var capability = CapabilitySettings()
  package var identity = IdentitySettings()
  package var limits = LimitSettings()
  /// Peers whose `X-Forwarded-*` fields are believed.
  package var trustedProxies: [AddressRange] = []
  /// How long runs may go on after SIGTERM.
  package var drain = Nanoseconds.seconds(30)
  package var logLevel = LogLevel.info

  package init() {}
}

extension Configuration {
  /// Reads a whole document.
  ///
  /// - Throws: every mistake with its path.
  package init(decoding document: JSONValue) throws(DecodingFaults) {
    self = try JSONReader.decode(document) { reader in
      var configuration = Configuration()
      configuration.read(reader)
      return configuration
    }
  }

  private mutating func read(_ reader: JSONReader) {
    listen = reader.address("listen") ?? listen
    workers = reader.int("workers", in: 1...256, default: workers)
    drain = reader.duration("drain", default: drain)
    if let name = reader.string("logLevel") {
      if let level = LogLevel(name: name) {
        logLevel = level
      } else {
        reader.fault("logLevel", "expected debug, info, warning or error, found \"\(name)\"")
      }
    }
    admin = AdminSettings(reader.nested("admin"))
    flags = FlagSettings(reader.nested("flags"))
    capability = CapabilitySettings(reader.nested("capability"))
    identity = IdentitySettings(reader.nested("identity"))
    limits = LimitSettings(reader.nested("limits"))
    trustedProxies =
      reader.elements("trustedProxies", expected: "an address or a range such as \"10.0.0.0/8\"") { value, _ in
        value.string.flatMap(AddressRange.init(parsing:))
      } ?? []
    readRoutes(reader)
  }

  private mutating func readRoutes(_ reader: JSONReader) {
    let defaults = StreamSettings(reader.nested("stream"), defaults: StreamSettings())
    upstreams = reader.nestedMembers("upstreams").compactMap { UpstreamSettings(named: $0.name, $0.reader) }
    var lone: String?
    if let url = reader.string("upstream") {
      if let upstream = UpstreamSettings(url: url, fault: { reader.fault("upstream", $0) }) {
        upstreams.append(upstream)
        lone = upstream.name
      }
    }
    let names = Set(upstreams.map(\.name))
    routes = reader.nestedArray("routes").map { RouteSettings($0, defaults: defaults, upstreams: names) }
    // `upstream` alone is the catch-all; with routes it is what remains behind them.
    if let lone { routes.append(RouteSettings(name: "default", upstreams: [lone], stream: defaults)) }
    if routes.isEmpty {
      reader.fault("upstream", "no backend is given: set \"upstream\" to its URL, or \"upstreams\" and \"routes\"")
    }
  }
}

extension JSONReader {
  /// `127.0.0.1:8080`, `[::1]:8080`, or `:8080` for every address of the machine.
  func address(_ name: String) -> SocketAddress? {
    read(name, expected: "an address with a port, such as \"127.0.0.1:8080\"") { value in
      guard let text = value.string else { return nil }
      return SocketAddress(parsing: text.hasPrefix(":") ? "0.0.0.0" + text : text)
    }
  }
}
