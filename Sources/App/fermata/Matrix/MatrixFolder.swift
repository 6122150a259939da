import Files
import Glibc
import Matrix
import Processes

/// Where the clients' programs are.
struct MatrixFolder {
  let path: String

  /// - Parameter given: what the caller says; otherwise `Tests/Matrix` is looked for here and in the folders above.
  static func find(_ given: String?) throws -> MatrixFolder {
    if let given {
      guard isFile(given + "/clients.json5") else {
        throw MatrixFailure("\(given) has no clients.json5")
      }
      return MatrixFolder(path: given)
    }
    var above = ""
    for _ in 0..<16 {
      if isFile("\(above)Tests/Matrix/clients.json5") { return MatrixFolder(path: "\(above)Tests/Matrix") }
      above += "../"
    }
    throw MatrixFailure(
      "there is no Tests/Matrix here or in a folder above; --clients names the folder")
  }

  private static func isFile(_ path: String) -> Bool { unsafe access(path, R_OK) == 0 }

  func clients() throws -> [MatrixClient] {
    let file = path + "/clients.json5"
    do {
      return try MatrixClient.all(parsing: String(decoding: readFile(file, limit: 1 << 20).bytes, as: UTF8.self))
    } catch {
      throw MatrixFailure("\(file): \(error)")
    }
  }

  /// The command with its places filled in.
  func command(of client: MatrixClient) -> [String] {
    client.command.map { word in
      word.replacing("$HERE", with: path).replacing("$ROOT", with: path + "/../..")
        .replacing("$PYTHON", with: python).replacing("$FERMATA", with: Self.ownPath)
    }
  }

  /// This program. The link of `/proc/self` would lead another process to itself.
  private static let ownPath: String = {
    var bytes = [CChar](repeating: 0, count: 4096)
    let count = unsafe readlink(BenchProgram.path, &bytes, bytes.count)
    let path = bytes.prefix(max(0, count)).map { UInt8(bitPattern: $0) }
    return path.isEmpty ? "fermata" : String(decoding: path, as: UTF8.self)
  }()

  /// The interpreter that has the clients' packages: `FERMATA_MATRIX_VENV`, or the environment that `.ci/test` makes.
  private var python: String {
    (Host.environment["FERMATA_MATRIX_VENV"] ?? path + "/../../.build/venv-matrix") + "/bin/python"
  }
}
