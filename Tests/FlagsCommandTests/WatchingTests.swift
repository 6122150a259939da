import Files
import Flags
import Harness
import JSON
import Processes
import Testing
import Time

extension `fermata flags` {
  @Suite struct `A gateway watches its flag file` {
    private let stage: Stage
    private var file: String { stage.bench.file }

    init() throws { stage = try Stage() }

    /// The shipped flags at another revision.
    private func contents(_ revision: Int) throws -> [UInt8] {
      let shipped = try readFile(Workbench.root + "/flags/stream-closing.flagd.json", limit: 1 << 20).bytes
      return FlagEdit.file(FlagEdit.revised(try JSONValue(parsing: shipped), to: revision))
    }

    private func gatewayFlags() async throws -> JSONValue {
      try JSONValue(parsing: await stage.clients.fetch(ClientRequest("GET", "/flags"), from: stage.adminAddress).body)
    }

    /// How long until every worker serves `bytes`; `nil` when that does not happen.
    private func delay(until bytes: [UInt8], limit: Nanoseconds = .seconds(5)) async throws -> Nanoseconds? {
      let hash = SHA256.hexadecimal(bytes)
      let start = SystemClock.now
      while SystemClock.now - start < limit {
        let workers = try await gatewayFlags()["workers"]?.array ?? []
        if workers.count == 2, workers.allSatisfy({ $0["hash"]?.string == hash }) { return SystemClock.now - start }
        SystemClock.sleep(.milliseconds(2))
      }
      return nil
    }

    private func shell(_ command: String) throws {
      let child = try ChildProcess(["sh", "-c", command], errorFile: "/dev/null")
      #expect(child.wait(timeout: .seconds(5)) == .code(0), "\(command)")
    }

    @Test func `a replaced file is in force on every worker within 100 ms`() async throws {
      MachineDelay.watch()
      var delays: [Double] = []
      for revision in 2...11 {
        let bytes = try contents(revision)
        try AtomicFile.replace(file, with: bytes)
        let begun = SystemClock.now
        delays.append((try #require(try await delay(until: bytes)) - MachineDelay.since(begun)).milliseconds)
      }
      print("flags in force after \(delays.sorted().map { Int($0) }) ms")
      #expect(delays.sorted()[5] < 100)
    }

    @Test func `writing in place, deleting and making anew, and an older time are seen`() async throws {
      let inPlace = try contents(20)
      _ = try stage.bench.write("next", String(decoding: inPlace, as: UTF8.self))
      try shell("cat \(stage.bench.directory.path)/next > \(file)")
      #expect(try await delay(until: inPlace) != nil)

      let anew = try contents(21)
      try shell("rm \(file)")
      SystemClock.sleep(.milliseconds(300))
      #expect(try await gatewayFlags()["fault"]?.string != nil)
      #expect(try await gatewayFlags()["version"] == "20", "the last good flags are kept")
      try AtomicFile.replace(file, with: anew)
      #expect(try await delay(until: anew) != nil)

      let older = try contents(22)
      _ = try stage.bench.write("older", String(decoding: older, as: UTF8.self))
      try shell(
        "touch -d '2001-01-01' \(stage.bench.directory.path)/older && mv \(stage.bench.directory.path)/older \(file)")
      #expect(try await delay(until: older) != nil)
    }

    @Test func `broken files never take effect, and a storm of them ends well`() async throws {
      let good = try contents(30)
      try AtomicFile.replace(file, with: good)
      #expect(try await delay(until: good) != nil)
      for round in 0..<300 {
        switch round % 4 {
        case 0: _ = try stage.bench.write("flags.json", "{ garbage")
        case 1: _ = try stage.bench.write("flags.json", String(decoding: good.prefix(good.count / 2), as: UTF8.self))
        case 2: _ = try stage.bench.write("flags.json", "")
        default: try AtomicFile.replace(file, with: try contents(1000 + round))
        }
      }
      let last = try contents(31)
      try AtomicFile.replace(file, with: last)
      #expect(try await delay(until: last) != nil)
      #expect(try await gatewayFlags()["fault"]?.string == nil)
      #expect(try await stage.play(perCohort: 10) == [:])
    }
  }

  @Suite struct `A gateway watches a ConfigMap` {
    @Test func `the swap of ..data is seen`() async throws {
      let volume = try TemporaryDirectory(prefix: "volume")
      defer { volume.remove() }
      let shipped = Workbench.root + "/flags/stream-closing.flagd.json"
      let path = volume.path
      for (name, revision) in [("..one", "1"), ("..two", "77")] {
        let script =
          "mkdir \(path)/\(name) && sed 's/\"version\": \"1\"/\"version\": \"\(revision)\"/' \(shipped) > \(path)/\(name)/flags.json"
        #expect(try ChildProcess(["sh", "-c", script]).wait(timeout: .seconds(5)) == .code(0))
      }
      let link = "cd \(path) && ln -s ..one ..data && ln -s ..data/flags.json flags.json"
      #expect(try ChildProcess(["sh", "-c", link]).wait(timeout: .seconds(5)) == .code(0))
      let stage = try Stage(flagFile: path + "/flags.json")
      let swap = "cd \(path) && ln -s ..two ..tmp && mv -T ..tmp ..data"
      #expect(try ChildProcess(["sh", "-c", swap]).wait(timeout: .seconds(5)) == .code(0))
      var version: JSONValue?
      let deadline = SystemClock.now + .seconds(5)
      while version != "77", SystemClock.now < deadline {
        let result = await stage.clients.fetch(ClientRequest("GET", "/flags"), from: stage.adminAddress)
        version = try JSONValue(parsing: result.body)["version"]
      }
      #expect(version == "77")
    }
  }
}
