import JSON
import Processes
import RunningGateway
import Testing

extension EndToEnd {
  /// That it measures what it says; what the figures are is not a test's business.
  @Suite struct Bench {
    @Test(.enabled(if: RedisProcess.isAvailable))
    func `bench measures runs that are kept, in memory and in a Redis of its own`() throws {
      let run = try Program.run([
        "bench", "--scenario", "burst", "--subject", "graceful,resumable,resumable-redis", "--seconds", "1",
        "--streams", "2", "--repeat", "1", "--json",
      ])
      #expect(run.exit == .code(0), "\(run)")
      let rows = try JSONValue(parsing: run.output).array?.first?["subjects"]?.array ?? []
      #expect(rows.map { $0["subject"]?.string } == ["graceful", "resumable", "resumable-redis"])
      for row in rows { #expect(row["failures"]?.integer == 0 && (row["cpuMicroseconds"]?.number ?? 0) > 0, "\(run)") }
    }

    @Test func `another build is measured in the same run, with the same clients`() throws {
      let run = try Program.run([
        "bench", "--scenario", "burst", "--subject", "direct,graceful", "--before", Program.path, "--seconds", "1",
        "--streams", "2", "--repeat", "1", "--json",
      ])
      #expect(run.exit == .code(0), "\(run)")
      let rows = try JSONValue(parsing: run.output).array?.first?["subjects"]?.array ?? []
      #expect(rows.map { $0["subject"]?.string } == ["direct", "graceful", "graceful"])
      #expect(rows.map { $0["before"]?.string } == [nil, Program.path, nil])
      #expect(rows.map { $0["toBefore"]?.number ?? 0 > 0 } == [false, true, true], "\(run)")
    }

    @Test func `another build that can't be run is said`() throws {
      let run = try Program.run(["bench", "--before", "/nonexistent"])
      #expect(run.exit == .code(2))
      #expect(run.errors.contains("--before: /nonexistent can't be run: No such file or directory"), "\(run)")
    }

    @Test func `bench says which server is not installed, and measures the others`() throws {
      let run = try Program.run(
        [
          "bench", "--scenario", "burst", "--subject", "direct,nginx,resumable-redis", "--seconds", "1", "--streams",
          "2", "--repeat", "1",
        ], environment: ["PATH": "/nonexistent"])
      #expect(run.exit == .code(1))
      for name in ["nginx", "redis-server"] {
        #expect(run.output.contains("not installed (start \(name): "), "\(run)")
      }
      #expect(run.output.contains("direct "), "\(run)")
    }
  }
}
