import Files
import Flags
import JSON
package import TLS

/// How a backend is reached over TLS.
package struct TLSSettings: Sendable {
  package var client = TLSClientSettings()
  /// Made with the settings, so that a file that can't be used is a mistake of the configuration. All workers share it,
  /// and with it the sessions that they resume.
  package private(set) var context: TLSContext
  /// What was in the files when they were read: a certificate is renewed under the same name.
  private let contents: [String]

  /// What is used where the configuration says nothing: the system's roots, and the name in the URL.
  /// - Throws: when the system's certificates can't be read.
  init() throws(TLSError) {
    contents = Self.contents(client)
    context = try TLSContext(client: client)
  }

  /// - Returns: `nil` when there is a mistake, which has been told.
  init?(_ reader: JSONReader) {
    Self.settings.read(reader, into: &client)
    let (certificate, key) = (reader.string("certificate"), reader.string("key"))
    if let certificate {
      // Many tools write both into one file.
      client.identity = TLSIdentity(certificate: certificate, key: key ?? certificate)
    } else if key != nil {
      reader.fault("key", "is of no use without \"certificate\"")
    }
    if !client.verifiesPeer, client.roots != nil { reader.fault("roots", "is of no use while \"verify\" is false") }
    // Read before OpenSSL does: if a file changes in between, the next reload sees that.
    contents = Self.contents(client)
    do throws(TLSError) {
      context = try TLSContext(client: client)
    } catch {
      reader.fault(Self.member(client, to: error), error.description)
      return nil
    }
  }

  /// Hashes of the files, "" for one that can't be read.
  private static func contents(_ client: TLSClientSettings) -> [String] {
    [client.roots ?? TLSContext.systemRootFile, client.identity?.certificate, client.identity?.key].map { path in
      path.flatMap { try? readFile($0, limit: 16 << 20).bytes }.map { SHA256.hexadecimal($0) } ?? ""
    }
  }

  /// Takes over the context of `old` if it was made from the same settings and files, and with it the sessions that
  /// were kept.
  mutating func reuse(_ old: TLSSettings?) {
    if let old, old.client == client, old.contents == contents { context = old.context }
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
    var object = JSONObject(Self.settings.members(of: client))
    object["certificate"] = client.identity.map { .string($0.certificate) } ?? .null
    object["key"] = client.identity.map { .string($0.key) } ?? .null
    return .object(object)
  }

  package static let settings: [Setting<TLSClientSettings>] = [
    .text("roots", \.roots), .switched("verify", \.verifiesPeer), .text("serverName", \.serverName),
  ]
}
