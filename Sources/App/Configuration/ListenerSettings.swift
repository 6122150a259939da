import JSON
package import Loop
package import Sockets
package import TLS
package import Time

/// Whether clients of a plain listener are sent to https.
package enum HTTPSRedirect: String, CaseIterable, Sendable {
  case off
  /// Each request is answered with 308 to the same target over https, and nothing else is served.
  case https
}

/// Whether clients come through a load balancer that says who they are, in a header before all else.
package enum ProxyProtocol: String, CaseIterable, Sendable {
  case off, v1, v2

  package var version: ProxyHeaderParser.Version? {
    switch self {
    case .off: nil
    case .v1: .v1
    case .v2: .v2
    }
  }
}

/// Who may connect to a socket in the file system, as chmod(1) writes it.
package struct SocketMode: Equatable, Sendable {
  package var bits: UInt32 = 0o660

  package init() {}

  /// Three or four octal digits, without the bits above those of users.
  init?(_ text: String) {
    guard (3...4).contains(text.utf8.count), let bits = UInt32(text, radix: 8), bits <= 0o777 else { return nil }
    self.bits = bits
  }

  var text: String {
    let digits = String(bits, radix: 8)
    return String(repeating: "0", count: max(0, 4 - digits.utf8.count)) + digits
  }
}

/// One place where clients connect.
package struct ListenerSettings: Sendable {
  package var address: SocketAddress
  /// Of the socket, where it is one in the file system.
  package var socketMode = SocketMode()
  /// `nil`: plain HTTP.
  package var tls: ListenerTLS?
  package var http2 = HTTP2Use.off
  package var redirect = HTTPSRedirect.off
  package var proxyProtocol = ProxyProtocol.off

  package init(address: SocketAddress) {
    self.address = address
  }

  /// - Parameters:
  ///   - name: of the member that says where.
  ///   - fallback: taken where there is none, or a wrong one.
  init(_ reader: JSONReader, address name: String, or fallback: SocketAddress) {
    address = reader.listenAddress(name) ?? fallback
    Self.settings.read(reader, into: &self)
    let secure = reader.nested("tls")
    http2 = reader.http2(hasTLS: secure != nil)
    tls = secure.flatMap { [http2] in ListenerTLS($0, http2: http2) }
    if redirect == .https, secure != nil { reader.fault("redirect", "is for listeners without \"tls\"") }
  }

  package static let settings: [Setting<ListenerSettings>] = [
    .text(
      "socketMode", \.socketMode, expected: "three or four octal digits, such as \"0660\"",
      parse: { SocketMode($0) }, text: \.text),
    .choice("redirect", \.redirect),
    .choice("proxyProtocol", \.proxyProtocol),
  ]

  /// What both places of such settings write alike: the top of the configuration, and a member of `listeners`.
  var members: [JSONObject.Member] {
    Self.settings.members(of: self) + [
      JSONObject.Member(name: "http2", value: http2.document),
      JSONObject.Member(name: "tls", value: tls?.document ?? .null),
    ]
  }

  var document: JSONValue {
    var object: JSONObject = ["address": .string(address.description)]
    for member in members { object[member.name] = member.value }
    return .object(object)
  }
}

/// How clients are served over TLS.
package struct ListenerTLS: Sendable {
  package let server: TLSServerSettings
  /// Made with the settings, so that a file that can't be used is a mistake of the configuration. All loops share it.
  package let context: TLSContext
  /// How long browsers shall come over https only (`Strict-Transport-Security`, RFC 6797); `nil`: nothing is said of it.
  package let hsts: Nanoseconds?
  private let usesPair: Bool

  /// What the field of that name says.
  package var strictTransportSecurity: String? { hsts.map { "max-age=\(Int64($0.seconds))" } }

  /// - Returns: `nil` when there is a mistake, which has been told.
  init?(_ reader: JSONReader, http2: HTTP2Use) {
    let (certificate, key) = (reader.string("cert"), reader.string("key"))
    var identities = reader.nestedArray("certificates").compactMap { inner -> TLSIdentity? in
      inner.require("cert")
      let (certificate, key) = (inner.string("cert"), inner.string("key"))
      return certificate.map { TLSIdentity(certificate: $0, key: key ?? $0) }
    }
    usesPair = certificate != nil
    if let certificate {
      // Many tools write both into one file.
      identities.insert(TLSIdentity(certificate: certificate, key: key ?? certificate), at: 0)
    } else if key != nil {
      reader.fault("key", "is of no use without \"cert\"")
    } else if identities.isEmpty, !reader.has("certificates") {
      reader.fault("cert", "is missing: TLS needs a certificate, as \"cert\" or in \"certificates\"")
    } else if identities.isEmpty {
      reader.fault("certificates", "has no certificate")
    }
    var server = TLSServerSettings(identities: identities)
    if http2 == .on { server.protocols.insert("h2", at: 0) }
    server.clientCertificates = .none
    Self.settings.read(reader, into: &server)
    hsts = reader.duration("hsts")
    self.server = server
    let asks = server.clientCertificates != .none
    if asks, server.clientRoots == nil {
      reader.fault("clientRoots", "is missing: who signs the certificates of clients")
      return nil
    }
    if !asks, server.wantsChain {
      reader.fault("clientChain", "is of no use while \"clientCertificates\" is \"none\"")
    }
    if !asks, server.clientRoots != nil {
      reader.fault("clientRoots", "is of no use while \"clientCertificates\" is \"none\"")
      return nil
    }
    guard !identities.isEmpty else { return nil }
    do throws(TLSError) {
      context = try TLSContext(server: server)
    } catch {
      reader.fault(Self.member(server, to: error, pair: certificate != nil), error.description)
      return nil
    }
  }

  package static let settings: [Setting<TLSServerSettings>] = [
    .choice("clientCertificates", \.clientCertificates), .text("clientRoots", \.clientRoots),
    .switched("clientChain", \.wantsChain), .switched("strictServerName", \.refusesUnknownNames),
  ]

  /// The member that is to blame for `error`.
  private static func member(_ server: TLSServerSettings, to error: TLSError, pair: Bool) -> String {
    guard case .file(let path, _) = error else { return pair ? "cert" : "certificates" }
    if path == server.clientRoots { return "clientRoots" }
    guard pair, let first = server.identities.first else { return "certificates" }
    if path == first.certificate { return "cert" }
    return path == first.key ? "key" : "certificates"
  }

  private init(server: TLSServerSettings, context: TLSContext, hsts: Nanoseconds?, usesPair: Bool) {
    self.server = server
    self.context = context
    self.hsts = hsts
    self.usesPair = usesPair
  }

  /// The same settings with what is in the files now.
  package func rereadingFiles() throws(TLSError) -> ListenerTLS {
    ListenerTLS(server: server, context: try TLSContext(server: server), hsts: hsts, usesPair: usesPair)
  }

  /// The files that it is made of.
  package var files: [String] {
    server.identities.flatMap { [$0.certificate, $0.key] } + [server.clientRoots].compactMap { $0 }
  }

  /// As the configuration writes it.
  var document: JSONValue {
    var object = JSONObject()
    var others = server.identities[...]
    if usesPair, let first = others.popFirst() {
      object["cert"] = .string(first.certificate)
      object["key"] = .string(first.key)
    }
    object["certificates"] = .array(others.map { ["cert": .string($0.certificate), "key": .string($0.key)] })
    for member in Self.settings.members(of: server) { object[member.name] = member.value }
    object["hsts"] = hsts.map { .string($0.text) } ?? .null
    return .object(object)
  }
}
