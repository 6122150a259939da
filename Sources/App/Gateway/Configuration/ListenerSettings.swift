import JSON
package import Loop
package import TLS
package import Time

/// Where clients connect besides `listen`.
package struct ListenerSettings: Sendable {
  package var address: SocketAddress
  /// `nil`: plain HTTP.
  package var tls: ListenerTLS?
  package var http2: HTTP2Use

  package init(address: SocketAddress, tls: ListenerTLS?, http2: HTTP2Use) {
    self.address = address
    self.tls = tls
    self.http2 = http2
  }

  /// - Returns: `nil` when there is a mistake, which has been told.
  init?(_ reader: JSONReader) {
    reader.require("address")
    let address = reader.address("address")
    let tls = reader.nested("tls")
    let http2 = reader.http2(hasTLS: tls != nil)
    let settings = tls.flatMap { ListenerTLS($0, http2: http2) }
    guard let address, tls == nil || settings != nil else { return nil }
    self.init(address: address, tls: settings, http2: http2)
  }

  var document: JSONValue {
    ["address": .string(address.description), "http2": http2.document, "tls": tls?.document ?? .null]
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
  var strictTransportSecurity: String? { hsts.map { "max-age=\(Int64($0.seconds))" } }

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
    server.clientCertificates = reader.choice("clientCertificates") ?? .none
    server.clientRoots = reader.string("clientRoots")
    server.refusesUnknownNames = reader.bool("strictServerName", default: false)
    hsts = reader.duration("hsts")
    self.server = server
    let asks = server.clientCertificates != .none
    if asks, server.clientRoots == nil {
      reader.fault("clientRoots", "is missing: who signs the certificates of clients")
      return nil
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
    object["clientCertificates"] = .string(server.clientCertificates.rawValue)
    object["clientRoots"] = server.clientRoots.map { .string($0) } ?? .null
    object["strictServerName"] = .bool(server.refusesUnknownNames)
    object["hsts"] = hsts.map { .string($0.text) } ?? .null
    return .object(object)
  }
}
