import Foundation
import Testing

/// The conformance cases, played to the adapter by their own drivers.
@Suite(.serialized) struct CaseTests {
  private static let root = String(
    #filePath.prefix(#filePath.count - "/Tests/FermataClientTests/CaseTests.swift".count))
  private static let isCI = ProcessInfo.processInfo.environment["CI"] == "true"

  /// Beside the test bundle, where SwiftPM puts it.
  private static let adapter: String = {
    let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
    return URL(fileURLWithPath: own).deletingLastPathComponent().appendingPathComponent("FermataClientAdapter").path
  }()

  private static let shared =
    (ProcessInfo.processInfo.environment["FERMATA_SHARED"] ?? "\(root)/../shared") + "/clients/run.py"

  private func run(_ arguments: [String]) async throws -> (output: String, status: Int32) {
    try await Task.detached {
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
      process.arguments = ["python3"] + arguments
      let pipe = Pipe()
      process.standardOutput = pipe
      try process.run()
      let output = pipe.fileHandleForReading.readDataToEndOfFile()
      process.waitUntilExit()
      return (String(decoding: output, as: UTF8.self), process.terminationStatus)
    }.value
  }

  @Test func `our own cases pass`() async throws {
    let run = try await run(["\(Self.root)/Tests/Clients/Python/play.py", Self.adapter])
    #expect(run.status == 0 && run.output.contains(" 0 failed"), "\(run.output)")
  }

  @Test(.enabled(if: isCI || FileManager.default.fileExists(atPath: shared), "the shared cases are not there"))
  func `the shared cases pass`() async throws {
    let port = String(Int.random(in: 23_000..<29_000))
    let output = try await run([Self.shared, "--all", "--port", port, "--adapter", Self.adapter]).output
    #expect(output.contains(" passed, 0 failed, 0 skipped") && !output.contains(": 0 passed"), "\(output)")
  }
}
