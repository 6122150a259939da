import Harness
import JSON
import Processes
import Testing
import Time

extension `fermata flags` {
  @Suite struct `A rollout with real traffic` {
    @Test(.timeLimit(.minutes(15)))
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
        let counts = (advanced.data["left"]?["counts"]?.array ?? []).compactMap(\.string).joined(separator: ", ")
        let expected = share == 100 ? "1 internal stream completed with \"graceful\"" : "of 100 treated streams"
        #expect(counts.contains(expected), "\(counts)")
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
      #expect(try stage.change("rollout", "advance").code == "latched")
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
      #expect(try stage.flags("rollout", "resume", "--reason", "unasked").code == "not_acknowledged")
      #expect(try stage.flags("rollout", "advance", "--reason", "unasked").code == "latched")
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

    @Test(.timeLimit(.minutes(15)))
    func `a trip of the guard is not got around, by abort, by clear, by a new start or out of internal`() async throws {
      let stage = try Stage()
      let start = [
        "rollout", "start", "--variant", "graceful", "--internal", "qa", "--plan", "25,100", "--min-duration", "0s",
        "--on-regress", "hold", "--reason", "play", "--json",
      ]
      #expect(try stage.bench.run(start + ["--admin", stage.admin]).exit == 0)
      _ = try stage.eventually { $0["gateway"]?["agrees"] == true }
      #expect(try await stage.playInternal("qa") == "graceful")
      _ = try stage.eventually { $0["guard"]?["phase"]?["internalCompleted"] == 1 }
      #expect(try stage.change("rollout", "advance").exit == 0)
      _ = try stage.eventually { $0["gateway"]?["agrees"] == true }
      for _ in 0..<20 where try stage.status()["guard"]?["effect"] != "hold" {
        _ = try await stage.play(perCohort: 100, fault: "events=3&cut=2")
        SystemClock.sleep(.milliseconds(250))
      }
      let trip = try #require(try stage.status()["guard"]?["latch"]?["revision"]?.string)
      let text = try stage.bench.run("rollout", "status", "--admin", stage.admin).text
      #expect(text.contains("no : the guard of \(stage.admin) holds revision \(trip)"), "\(text)")
      #expect(text.contains("fermata flags rollout resume --ack \(trip) --admin \(stage.admin)"), "\(text)")
      let forced = try stage.change("rollout", "advance", "--force", "--dry-run")
      #expect(forced.text.contains("latched"), "\(forced.text)")

      #expect(try stage.flags("rollout", "abort", "--reason", "x").exit == 0)
      let abort = try #require(try stage.flags("show").data["revision"]?.integer)
      #expect(try stage.flags("rollout", "resume", "--ack", "77", "--reason", "x").code == "wrong_revision")
      #expect(try stage.flags("rollout", "resume", "--ack", "\(abort)", "--reason", "x").code == "not_checked")
      #expect(try stage.change("rollout", "resume", "--ack", "\(abort)").code == "wrong_revision")

      #expect(try stage.flags("rollout", "clear", "--reason", "x").exit == 0)
      #expect(try stage.bench.run(start + ["--admin", stage.admin]).code == "latched")
      // Nobody is asked, but the guard's state file is beside the flag file, or named by the configuration.
      let unasked = try stage.bench.run(start)
      #expect(unasked.code == "latched", "\(unasked.text)")
      let next = unasked.json["error"]?["nextAction"]?.string ?? ""
      #expect(
        next.contains("fermata flags ack --revision \(trip) --admin URL") && next.contains("asks the gateway itself"))
      let elsewhere = try stage.bench.write(
        "elsewhere.json5", "{ upstream: \"http://127.0.0.1:1\", flags: { guardState: \"\(stage.bench.file).guard\" } }")
      #expect(try stage.bench.run(start + ["--config", elsewhere]).code == "latched")
      let nowhere = try stage.bench.write(
        "nowhere.json5", "{ upstream: \"http://127.0.0.1:1\", flags: { guardState: \"\(elsewhere).guard\" } }")
      let blind = try stage.bench.run(start + ["--config", nowhere])
      let warnings = (blind.json["warnings"]?.array ?? []).compactMap(\.string)
      #expect(
        blind.exit == 0 && warnings.contains { $0.contains("no gateway was asked") && $0.contains("--admin URL asks") })
      _ = try stage.eventually { $0["gateway"]?["agrees"] == true }
      _ = try await stage.playInternal("qa")
      #expect(try stage.change("rollout", "advance").code == "latched")
      let resumed = try stage.change("rollout", "resume", "--ack", trip)
      #expect(resumed.data["rollout"]?["phase"] == "internal", "\(resumed.text)")
      #expect(try stage.eventually { $0["guard"]?["effect"] == "none" }["guard"]?["effect"] == "none")
    }

    @Test(.timeLimit(.minutes(15)))
    func `a phase is not left while a gateway drains`() async throws {
      let stage = try Stage()
      let start = try stage.flags(
        "rollout", "start", "--variant", "graceful", "--internal", "qa", "--min-duration", "0s", "--reason", "play")
      #expect(start.exit == 0)
      _ = try stage.eventually { $0["gateway"]?["agrees"] == true }
      #expect(try await stage.playInternal("qa") == "graceful")
      _ = try stage.eventually { $0["guard"]?["phase"]?["internalCompleted"] == 1 }
      let open = stage.clients.open(ClientRequest("GET", "/s?events=3&stall=2"), from: stage.listen)
      #expect(await open.receives("{\"n\":2}"))
      stage.terminate()
      let refused = try stage.change("rollout", "advance")
      #expect(refused.code == "draining", "\(refused.text)")
      _ = await open.result()
    }
  }
}
