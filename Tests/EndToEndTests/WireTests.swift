import Glibc
import Harness
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// What goes over the wire on both sides stays as it was recorded, byte for byte, however the gateway is rebuilt inside.
  ///
  /// With `FERMATA_RECORD=1` the recordings are written anew: look at the difference before you commit it.
  @Suite struct Wire {
    @Test(arguments: WireScene.all)
    func `every byte of a scene is as it was recorded`(scene: WireScene) async throws {
      let listener = try RawListener()
      let clients = try ClientLoop.start()
      defer { clients.stop() }
      let flags = try FlagFile(scene.variant)
      flags.directory.write("fermata.json5", Self.configuration(scene, backend: listener))
      let gateway = try await GatewayProcess.start(
        ["--flags", flags.path, "--config", flags.directory["fermata.json5"]], environment: ["FERMATA_WORKERS": "1"],
        clients: clients)
      let tape = WireTape(gateway: gateway.address, listener: listener)
      let result = Result { try tape.play(scene.steps) }
      gateway.signal(15)
      #expect(await gateway.exit(within: .seconds(10)) == .code(0))
      try result.get()
      try Self.compare(tape.text, with: scene.name)
    }

    private static func configuration(_ scene: WireScene, backend: RawListener) -> String {
      """
      { upstreams: { main: { url: "http://\(backend.address)" } },
        routes: [{ name: "all", path: "\(scene.path)", upstreams: ["main"], \(scene.route) }] }
      """
    }

    private static func compare(_ text: String, with name: String) throws {
      let words = name.map { $0.isLetter || $0.isNumber ? $0 : "-" }
      let file = String(words).split(separator: "-").joined(separator: "-") + ".txt"
      let folder = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
      let path = "\(folder)/Recordings/\(file)"
      if Host.environment["FERMATA_RECORD"] == "1" { return write(text, to: path) }
      guard let recorded = ScratchDirectory.bytes(path).map({ String(decoding: $0, as: UTF8.self) }) else {
        throw SupportError("there is no recording \(path)")
      }
      let pairs = zip(recorded.split(separator: "\n"), text.split(separator: "\n"))
      let first = pairs.first { $0 != $1 }
      #expect(
        recorded == text,
        "the first line that differs: \(first?.0 ?? "an end") was recorded, \(first?.1 ?? "an end") came")
    }

    private static func write(_ text: String, to path: String) {
      let file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
      _ = Array(text.utf8).withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
      close(file)
    }
  }
}
