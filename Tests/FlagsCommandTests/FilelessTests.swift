import Files
import JSON
import Processes
import Testing
import Time

extension `fermata flags` {
  @Suite struct `Without the file` {
    @Test(.timeLimit(.minutes(15))) func `the status shows what the gateway has in force, and that the file is gone`()
      async throws
    {
      let stage = try Stage()
      #expect(try stage.bench.change("set", "--default", "graceful").exit == 0)
      _ = try stage.eventually { $0["gateway"]?["agrees"] == true }
      _ = try ChildProcess(["rm", stage.bench.file]).wait(timeout: .seconds(5))
      #expect(try stage.bench.run("rollout", "status").exit == 7, "without a gateway nothing is known")
      let shown = try stage.bench.run("rollout", "status", "--admin", stage.admin)
      #expect(shown.exit == 7 && shown.text.hasPrefix("\(stage.bench.file): no such file"), "\(shown.text)")
      #expect(shown.text.contains("it serves revision 2: stream-closing ENABLED, default graceful"), "\(shown.text)")
      #expect(shown.text.contains("guard: "), "\(shown.text)")
      #expect(shown.text.contains("fermata flags revert 2 --file \(stage.bench.file)"), "\(shown.text)")
      #expect(try stage.bench.run("kill", "--admin", stage.admin).exit == 0)
      let status = try stage.flags("rollout", "status", "--admin", stage.admin)
      #expect(status.data["stage"] == "killed" && status.data["fault"]?["code"] == "input_output", "\(status.text)")
      #expect(status.data["gateways"]?.array?.first?["killed"] == true)
      // A broken one is told of in the same way.
      try AtomicFile.replace(stage.bench.file, with: [UInt8]("{".utf8))
      #expect(try stage.flags("rollout", "status", "--admin", stage.admin).data["fault"]?["code"] == "invalid_file")
      #expect(try stage.bench.run("revert", "2", "--reason", "x").exit == 0)
      #expect(try stage.status()["fault"] == nil)
    }
  }
}
