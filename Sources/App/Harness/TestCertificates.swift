internal import Processes
package import TLS
internal import Time

/// An authority of a day with certificates that it has signed, made by the `openssl` program in a directory of their own.
///
/// Nothing trusts it but who is told to: for tests and for the bench.
package struct TestCertificates: Sendable {
  private let folder: TemporaryDirectory

  /// - Parameter authority: the name under which it signs.
  /// - Throws: when `openssl` isn't installed or refuses.
  package init(authority: String = "Test authority") throws {
    folder = try TemporaryDirectory(prefix: "fermata-certificates")
    do {
      try run([
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
        "/CN=\(authority)", "-addext", "keyUsage=critical,keyCertSign", "-keyout", path("authority.key"), "-out",
        roots,
      ])
    } catch {
      folder.remove()
      throw error
    }
  }

  /// The authority's certificate, to be trusted.
  package var roots: String { path("authority.pem") }
  package var directory: String { folder.path }

  package func path(_ name: String) -> String { folder.path + "/" + name }

  /// A new key and its certificate.
  /// - Parameters:
  ///   - name: of the files, and the subject.
  ///   - names: what it is good for, such as `DNS:localhost,IP:127.0.0.1`.
  ///   - days: how long it is valid; negative for one that is over.
  ///   - isRSA: whether the key is of RSA with 2,048 bits instead of ECDSA on P-256.
  package func identity(
    _ name: String = "localhost", for names: String = "DNS:localhost,IP:127.0.0.1", days: Int = 2, isRSA: Bool = false
  ) throws -> TLSIdentity {
    let identity = TLSIdentity(certificate: path("\(name).pem"), key: path("\(name).key"))
    let kind = isRSA ? ["rsa:2048"] : ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    try run(
      ["req", "-new", "-newkey"] + kind + [
        "-nodes", "-subj", "/CN=\(name)", "-keyout", identity.key, "-out", path("\(name).request"),
      ])
    let extensions = try folder.write("\(name).extensions", "subjectAltName=\(names)\nbasicConstraints=CA:FALSE\n")
    try run([
      "x509", "-req", "-in", path("\(name).request"), "-CA", roots, "-CAkey", path("authority.key"),
      "-days", "\(days)", "-extfile", extensions, "-out", identity.certificate,
    ])
    return identity
  }

  /// A file with an identity's certificate and its key behind it, as some servers want them.
  package func bundle(_ identity: TLSIdentity) throws -> String {
    let reader = try ChildProcess(["cat", identity.certificate, identity.key])
    var text = ""
    while let line = reader.readLine(timeout: .seconds(5)) { text += line + "\n" }
    return try folder.write("bundle.pem", text)
  }

  package func remove() { folder.remove() }

  private func run(_ arguments: [String]) throws {
    let tool = try ChildProcess(["openssl"] + arguments, errorFile: path("errors.txt"))
    while tool.readLine(timeout: .seconds(10)) != nil {}
    guard tool.wait(timeout: .seconds(10)) == .code(0) else { throw Failure(arguments: arguments, folder: folder.path) }
  }

  private struct Failure: Error, CustomStringConvertible {
    let arguments: [String]
    let folder: String

    var description: String { "openssl \(arguments.joined(separator: " ")) failed; see \(folder)/errors.txt" }
  }
}
