import Harness
import JSON
import Testing

extension `fermata flags` {
  @Suite struct `The clients of a rollout` {
    private func visit(_ stage: Stage, _ agent: String, count: Int) async {
      for index in 0..<count {
        let fields = [Script.Field("User-Agent", agent), Script.Field("X-Client-Id", "old-\(index)")]
        _ = await stage.clients.open(ClientRequest("GET", "/s?events=3&done=1", fields: fields), from: stage.listen)
          .result()
      }
    }

    @Test(.timeLimit(.minutes(15)))
    func `finish is refused while too many stay in legacy, and says who`() async throws {
      let stage = try Stage()
      let start = try stage.flags(
        "rollout", "start", "--variant", "graceful", "--plan", "100", "--min-duration", "0s", "--min-streams", "0",
        "--min-identities", "0", "--reason", "play")
      #expect(start.exit == 0, "\(start.text)")
      _ = try stage.eventually { $0["gateway"]?["agrees"] == true }
      #expect(try stage.change("rollout", "advance").exit == 0)
      _ = try stage.eventually { $0["gateway"]?["agrees"] == true }
      _ = try await stage.play(perCohort: 150)
      await visit(stage, "acme-web/2.1.0", count: 12)
      _ = try stage.eventually { $0["guard"]?["phase"]?["verdict"] == "no_control" }

      let text = try stage.bench.run("rollout", "clients", "--admin", stage.admin).text
      #expect(text.contains("acme-web 2.1.0: 12 streams, "), "\(text)")
      #expect(text.contains("12 streams stay in legacy") && text.contains("graceful: 150 of 162 streams (93 %)"))
      #expect(!text.contains("null"))
      let twice = try stage.flags("rollout", "clients", "--admin", stage.admin, "--admin", stage.admin)
      #expect(twice.data["streams"] == 162 && twice.data["staysLegacy"] == 12, "one gateway, though named twice")
      #expect(try stage.flags("rollout", "clients").code == "usage")
      #expect(try stage.flags("rollout", "clients", "--admin", stage.admin, "--mode", "steep").code == "usage")

      let refused = try stage.change("rollout", "finish")
      #expect(refused.code == "max_legacy" && refused.text.contains("acme-web 2.1.0 (12)"), "\(refused.text)")
      #expect(try stage.change("rollout", "finish", "--max-legacy", "101").code == "usage")
      #expect(try stage.change("rollout", "finish", "--max-legacy", "7").code == "max_legacy")

      let forced = try stage.change("rollout", "finish", "--force")
      #expect(forced.data["rollout"]?["stage"] == "finished" && forced.data["staysLegacy"] == 12, "\(forced.text)")
      let entries = try stage.flags("log").data.array ?? []
      #expect(entries.last?["forced"]?.array?.contains("max_legacy") == true, "\(entries.last?.text() ?? "")")
      #expect(entries.last?["reason"] == "play")
    }

    @Test(.timeLimit(.minutes(15)))
    func `where no client asks, nobody is treated, and nothing goes on`() async throws {
      let stage = try Stage()
      let start = try stage.flags(
        "rollout", "start", "--variant", "graceful", "--plan", "50,100", "--min-duration", "0s", "--min-streams", "0",
        "--reason", "play")
      #expect(start.exit == 0, "\(start.text)")
      _ = try stage.eventually { $0["gateway"]?["agrees"] == true }
      #expect(try stage.change("rollout", "advance").exit == 0)
      _ = try stage.eventually { $0["gateway"]?["agrees"] == true }
      await visit(stage, "acme-web/2.1.0", count: 250)
      let status = try stage.eventually { ($0["guard"]?["outside"]?["not_capable"]?.integer ?? 0) >= 250 }
      #expect(status["guard"]?["phase"]?["verdict"] == "nobody_treated", "\(status["guard"]?.text() ?? "")")
      #expect(try stage.change("rollout", "advance").code == "too_few_identities")
      #expect(try stage.change("rollout", "finish").exit == 6)
      let text = try stage.bench.run("rollout", "status", "--admin", stage.admin).text
      #expect(text.contains("no : the guard says nobody_treated"), "\(text)")
    }

    @Test func `finish passes at the share that is allowed`() async throws {
      let stage = try Stage()
      _ = try stage.flags(
        "rollout", "start", "--variant", "graceful", "--plan", "100", "--min-duration", "0s", "--min-streams", "0",
        "--min-identities", "0", "--reason", "play")
      _ = try stage.eventually { $0["gateway"]?["agrees"] == true }
      _ = try stage.change("rollout", "advance")
      _ = try stage.eventually { $0["gateway"]?["agrees"] == true }
      _ = try await stage.play(perCohort: 150)
      await visit(stage, "acme-web/2.1.0", count: 3)
      _ = try stage.eventually { $0["guard"]?["phase"]?["verdict"] == "no_control" }
      #expect(try stage.change("rollout", "finish").code == "max_legacy")
      let finished = try stage.change("rollout", "finish", "--max-legacy", "2")
      #expect(finished.data["rollout"]?["stage"] == "finished" && finished.data["staysLegacy"] == 3)
    }
  }
}
