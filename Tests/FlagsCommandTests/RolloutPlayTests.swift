import JSON
import Processes
import Testing
import Time

extension `fermata flags` {
  @Suite struct `A rollout with real traffic` {
    @Test(.timeLimit(.minutes(4)))
    func `goes up by steps, is taken back by the guard, acknowledged, and finishes`() async throws {
      let stage = try Stage()
      // Deployed off: everybody in legacy.
      #expect(try await stage.play(perCohort: 20) == [:])
      #expect(try stage.status()["stage"] == "deployed off")

      let start = try stage.flags(
        "rollout", "start", "--variant", "graceful", "--internal", "qa", "--plan", "1,5,25,100", "--min-duration", "0s",
        "--min-streams", "100", "--reason", "play")
      #expect(start.exit == 0)
      let applied = try stage.eventually { $0["gateway"]?["agrees"] == true }
      #expect(applied["gateway"]?["agrees"] == true && applied["stage"] == "internal")

      #expect(try stage.change("rollout", "advance").code == "no_internal_stream")
      #expect(try await stage.playInternal("qa") == "graceful")
      _ = try stage.eventually { $0["guard"]?["phase"]?["internalCompleted"] == 1 }

      for share in [100, 500, 2500] {
        let advanced = try stage.change("rollout", "advance")
        #expect(advanced.exit == 0 && advanced.data["rollout"]?["share"] == JSONValue(share), "\(advanced.text)")
        #expect(try stage.change("rollout", "advance").exit == 6, "nothing has been measured in this phase yet")
        _ = try stage.eventually { $0["gateway"]?["agrees"] == true }
        try await stage.playUntilPass()
        if share < 2500 { #expect(try await stage.play(perCohort: 5) == ["graceful": 5]) }
      }

      // The log says how many of those clients each phase takes in, and not who they are.
      let log = stage.bench.directory.path + "/gateway.log"
      let simulated = try stage.flags("simulate", "--keys", log).data
      let counts = simulated["phases"]?.array?.compactMap { $0["variants"]?.array?.first?["members"]?.integer } ?? []
      #expect(counts.count == 5 && counts == counts.sorted() && counts.last == simulated["sampled"]?.integer)
      #expect((simulated["sampled"]?.integer ?? 0) > 100 && counts.first == 0)

      // At 25 % the backend begins to cut the streams of the new cohort alone.
      var tripped = false
      for _ in 0..<20 where !tripped {
        _ = try await stage.play(perCohort: 100, fault: "events=3&cut=2")
        SystemClock.sleep(.milliseconds(250))
        tripped = try stage.status()["guard"]?["effect"] == "rollback"
      }
      let rolledBack = try stage.status()
      #expect(rolledBack["outcome"] == "rolled_back" && rolledBack["attention"] == "action_required")
      #expect(try await stage.play(perCohort: 10) == ["legacy": 10])
      #expect(try stage.flags("rollout", "status", "--admin", stage.admin, "--exit-on-regression").exit == 9)
      #expect(try stage.change("rollout", "advance").code == "guard")
      let revision = try #require(rolledBack["guard"]?["latch"]?["revision"]?.string)
      #expect(try stage.flags("show").data["revision"] == JSONValue(Int(revision) ?? 0), "the gateway wrote the file")

      // The guard's decision outlives the process.
      try stage.restartGateway()
      #expect(try stage.status()["guard"]?["effect"] == "rollback")
      #expect(try await stage.play(perCohort: 10) == ["legacy": 10])

      // Mended, acknowledged, begun again with the same members.
      #expect(try stage.change("rollout", "resume").code == "not_acknowledged")
      #expect(try stage.change("rollout", "resume", "--ack", "1").code == "wrong_revision")
      #expect(try stage.flags("rollout", "resume", "--ack", revision, "--reason", "unasked").code == "not_checked")
      #expect(try stage.change("ack", "--revision", revision).code == "rollout")
      let resumed = try stage.change("rollout", "resume", "--ack", revision)
      #expect(resumed.data["rollout"]?["phase"] == "p1")
      #expect(try stage.eventually { $0["guard"]?["effect"] == "none" }["guard"]?["effect"] == "none")
      for _ in 0..<3 {
        _ = try stage.eventually { $0["gateway"]?["agrees"] == true }
        try await stage.playUntilPass()
        #expect(try stage.change("rollout", "advance").exit == 0)
      }
      _ = try stage.eventually { $0["gateway"]?["agrees"] == true }
      #expect(try stage.change("rollout", "finish").code == "too_few_streams", "nobody has had it at 100 % yet")
      _ = try await stage.play(perCohort: 150)
      _ = try stage.eventually { ($0["guard"]?["phase"]?["streams"]?.integer ?? 0) >= 100 }
      #expect(try stage.change("rollout", "finish").data["rollout"]?["stage"] == "finished")
      _ = try stage.eventually { $0["gateway"]?["agrees"] == true }
      #expect(try await stage.play(perCohort: 10) == ["graceful": 10])
      let audit = try stage.flags("log", "--verify")
      #expect(audit.exit == 0 && audit.data["problems"] == [])
    }
  }
}
