import FoundationEssentials
import JSON
import Testing

/// The collected flagd test data, which is not part of the project: found through `FERMATA_FLAGD_ASSETS`.
enum Assets {
  static let folder: String? = {
    let path = ProcessInfo.processInfo.environment["FERMATA_FLAGD_ASSETS"] ?? "../shared/flagd/assets"
    if FileManager.default.fileExists(atPath: path + "/README.md") { return path }
    print("*** The flagd test data is absent at \(path): its conformance tests did NOT run. ***")
    return nil
  }()

  /// Whether the tests that need the data run; on a build server they do, and fail without it.
  static let arePresent = folder != nil || ProcessInfo.processInfo.environment["CI"] == "true"

  static func bytes(_ path: String) throws -> [UInt8] {
    let folder = try #require(folder, "the flagd test data is absent")
    return [UInt8](try Data(contentsOf: URL(filePath: "\(folder)/\(path)")))
  }

  static func json(_ path: String) throws -> JSONValue { try JSONValue(parsing: bytes(path)) }

  /// The values of a file of JSON lines.
  static func lines(_ path: String) throws -> [JSONValue] {
    try bytes(path).split(separator: 0x0A).map { try JSONValue(parsing: [UInt8]($0)) }
  }

  static func text(_ path: String) throws -> String { String(decoding: try bytes(path), as: UTF8.self) }

  static func files(_ path: String) throws -> [String] {
    let folder = try #require(folder, "the flagd test data is absent")
    return try FileManager.default.contentsOfDirectory(atPath: "\(folder)/\(path)").sorted().map { "\(path)/\($0)" }
  }
}

/// Says how many rows of a table were checked, so that a table that shrinks is seen.
func report(_ name: String, passed: Int, of total: Int) {
  print("conformance: \(name): \(passed) of \(total)")
}
