import JSON
package import TLS

/// How a backend is reached over TLS.
package struct TLSSettings: Sendable {
  package var client = TLSClientSettings()
  /// Made with the settings, so that a file that can't be used is a mistake of the configuration. All workers share it,
  /// and with it the sessions that they resume.
  package private(set) var context: TLSContext

  /// What is used where the configuration says nothing: the system's roots, and the name in the URL.
  /// - Throws: when the system's certificates can't be read.
  init() throws(TLSError) {
    context = try TLSContext(client: client)
  }

  /// - Returns: `nil` when there is a mistake, which has been told.
  init?(_ reader: JSONReader) {
    client.roots = reader.string("roots")
    client.verifiesPeer = reader.bool("verify", default: true)
    client.serverName = reader.string("serverName")
    let (certificate, key) = (reader.string("certificate"), reader.string("key"))
    if let certificate {
      // Many tools write both into one file.
      client.identity = TLSIdentity(certificate: certificate, key: key ?? certificate)
    } else if key != nil {
      reader.fault("key", "is of no use without \"certificate\"")
    }
    if !client.verifiesPeer, client.roots != nil { reader.fault("roots", "is of no use while \"verify\" is false") }
    do throws(TLSError) {
      context = try TLSContext(client: client)
    } catch {
      reader.fault(Self.member(client, to: error), error.description)
      return nil
    }
  }

  /// The member that is to blame for `error`.
  private static func member(_ client: TLSClientSettings, to error: TLSError) -> String {
    switch error {
    case .file(client.roots ?? "", _): "roots"
    case .file(client.identity?.certificate ?? "", _): "certificate"
    case .file: "key"
    case .setting: "serverName"
    default: "roots"
    }
  }

  /// As the configuration writes it.
  var document: JSONValue {
    [
      "roots": client.roots.map { .string($0) } ?? .null, "verify": .bool(client.verifiesPeer),
      "serverName": client.serverName.map { .string($0) } ?? .null,
      "certificate": client.identity.map { .string($0.certificate) } ?? .null,
      "key": client.identity.map { .string($0.key) } ?? .null,
    ]
  }
}
