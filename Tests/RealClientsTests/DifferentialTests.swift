import Processes
import RunningGateway
import Testing
import Time

extension RealClients {
  /// `fermata flags eval` against the official Python provider of flagd, with random rules and clients.
  ///
  /// `FERMATA_DIFFERENTIAL_RULES` and `FERMATA_DIFFERENTIAL_KEYS` say how many; the full counts are 20 and 10000.
  @Suite struct Differential {
    private func expectNoDifference(_ python: String?, generation: String) async throws {
      let python = try #require(python, "the provider's virtual environment is missing: run .ci/test")
      let rules = Host.environment["FERMATA_DIFFERENTIAL_RULES"] ?? "20"
      let keys = Host.environment["FERMATA_DIFFERENTIAL_KEYS"] ?? "500"
      let run = try await Tool.run(
        [python, Tool.file("Differential/flagd.py"), Program.path, "--rules", rules, "--keys", keys],
        timeout: .seconds(900))
      print("differential: \(run.output)")
      #expect(run.exit == .code(0), "\(run.output) \(run.errors)")
      #expect(run.output.contains("fractional \(generation)"))
      #expect(run.output.contains("\(rules) rules x \(keys) clients: 0 differences"))
    }

    private func expectReadable(_ python: String?, generation: String) async throws {
      let python = try #require(python, "the provider's virtual environment is missing: run .ci/test")
      let keys = Host.environment["FERMATA_DIFFERENTIAL_KEYS"] ?? "500"
      let run = try await Tool.run(
        [python, Tool.file("Differential/rollout.py"), Program.path, "--keys", keys], timeout: .seconds(900))
      print("differential: \(run.output)")
      #expect(run.exit == .code(0), "\(run.output) \(run.errors)")
      #expect(run.output.contains("evaluators: 0 differences"))
      #expect(run.output.contains("fractional \(generation): 42 files x \(keys) clients: 0 differences"))
    }

    @Test(.enabled(if: Tool.arePresent(Tool.flagdV2)))
    func `flagd's provider reads every file that a rollout writes and decides the same, fractional v2`() async throws {
      try await expectReadable(Tool.flagdV2, generation: "v2")
    }

    @Test(.enabled(if: Tool.arePresent(Tool.flagdV3)))
    func `flagd's provider reads every file that a rollout writes and decides the same, fractional v3`() async throws {
      try await expectReadable(Tool.flagdV3, generation: "v3")
    }

    @Test(.enabled(if: Tool.arePresent(Tool.flagdV2)))
    func `flagd's Python provider gives the same variants, fractional v2`() async throws {
      try await expectNoDifference(Tool.flagdV2, generation: "v2")
    }

    @Test(.enabled(if: Tool.arePresent(Tool.flagdV3)))
    func `flagd's Python provider gives the same variants, fractional v3`() async throws {
      try await expectNoDifference(Tool.flagdV3, generation: "v3")
    }
  }
}
