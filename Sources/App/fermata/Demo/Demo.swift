import Gateway
import Harness
import Loop
import Processes
import Time

extension Verb {
  static let demo = Verb(
    name: "demo", summary: "see what is lost today and what arrives through the gateway; needs nothing",
    help: """
      usage: fermata demo [--https] [--keep]

        --https   the gateway's clients speak HTTP/2 over TLS, with a certificate that is made for it; needs openssl
        --keep    stay up when the show is over, with the commands to try and a page for a browser; Ctrl-C ends it

      Starts, on free ports of the loopback interface, a backend that goes on sending after its completion event, and
      the gateway in front of it with a flag file of its own. Clients read the same answer at the same time, an old one
      that hangs up at the completion event and a new one that waits for stream_end, while the flag is switched from
      legacy to shield to graceful and then killed. Takes about four seconds.

      Colours only on a terminal, and not with NO_COLOR.

      \(ExitStatus.help(of: "demo"))
      """, options: ["--https", "--keep"]
  ) { arguments in
    do throws(Arguments.Mistake) {
      let options = try Arguments(arguments, switches: ["--https", "--keep"])
      return runDemo(isSecure: options.has("--https"), keeps: options.has("--keep"))
    } catch {
      return misused("demo", error)
    }
  }

  private static func runDemo(isSecure: Bool, keeps: Bool) -> Int32 {
    let stage: DemoStage
    do {
      stage = try DemoStage.build(isSecure: isSecure)
    } catch {
      Terminal.error("fermata demo: \(error)")
      return ExitStatus.failure
    }
    let status = Rendezvous<Int32>()
    Task {
      let result = await Demo(stage: stage).perform()
      if keeps, result == ExitStatus.success { _ = try? await stage.switchFlags(to: .graceful) }
      status.put(result)
    }
    let result = status.take()
    if keeps, result == ExitStatus.success { stage.waitForInterrupt() }
    stage.strike()
    return result
  }
}

/// The show: one scene after the other, then what each client got, then whether that is what is promised.
struct Demo {
  let stage: DemoStage
  private let style = TerminalStyle.standardOutput
  private let started = SystemClock.now

  init(stage: DemoStage) {
    self.stage = stage
  }

  func perform() async -> Int32 {
    Terminal.print(
      """
      backend   \(stage.backend.url)   answers with \(DemoAnswer.events.count) events, \
      \(DemoAnswer.trailing) of them after its completion event
      gateway   \(stage.url)   flag file \(stage.flagFile)

      """)
    let cast: DemoCast
    do {
      cast = try await playScenes()
    } catch {
      Terminal.error("fermata demo: \(error)")
      return ExitStatus.failure
    }
    Terminal.print("")
    Terminal.print(DemoTable(cast).text(style))
    Terminal.print("")
    let claims = DemoClaims.all(of: cast)
    for claim in claims { Terminal.print(claim.line(style)) }
    let failures = claims.count { !$0.holds }
    let seconds = ((SystemClock.now - started).seconds * 10).rounded() / 10
    let verdict = failures == 0 ? "As promised" : "\(failures) of \(claims.count) are not as promised"
    Terminal.print("\n\(verdict), after \(seconds) s. \"fermata demo --keep\" stays up to be tried.")
    return failures == 0 ? ExitStatus.success : ExitStatus.failure
  }

  private func playScenes() async throws -> DemoCast {
    var cast = DemoCast()
    say("legacy", "an old client asks the backend, and asks through the gateway; so do two that stay to the end")
    async let direct = stage.read(.old, from: .backend)
    async let legacy = stage.read(.old, from: .gateway)
    async let patientDirect = stage.read(.patient, from: .backend)
    async let patientLegacy = stage.read(.patient, from: .gateway)
    (cast.direct, cast.legacy) = await (direct, legacy)
    (cast.patientDirect, cast.patientLegacy) = await (patientDirect, patientLegacy)

    cast.toShield = try await stage.switchFlags(to: .shield)
    say("shield", "after \(cast.toShield.text): the same old client")
    cast.shield = await stage.read(.old, from: .gateway)

    cast.toGraceful = try await stage.switchFlags(to: .graceful)
    say("graceful", "after \(cast.toGraceful.text): a new client, and the old one beside it")
    async let graceful = stage.read(.new, from: .gateway)
    async let bystander = stage.read(.old, from: .gateway)
    (cast.graceful, cast.bystander) = await (graceful, bystander)

    let open = stage.open(.new, pace: .milliseconds(160))
    guard await open.receives("event: token") else { throw DemoError("a stream did not start in ten seconds") }
    cast.kill = try await stage.switchFlags(to: .killed)
    say("killed", "after \(cast.kill.text): every new stream is legacy again; one was open")
    cast.killed = await open.result()
    cast.shadow = await stage.shadowCounters()
    return cast
  }

  private func say(_ flag: String, _ text: String) {
    Terminal.print("flag \(style.bold(flag.padded(to: 9)))\(text)")
  }
}
