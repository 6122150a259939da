import Configuration
import FlagControl
import Gateway
import Loop
import Time

extension Verb {
  static let check = Verb(
    name: "check", summary: "say what configuration is in force, or what is wrong with it",
    help: """
      usage: fermata check [--config FILE] [--quiet] [any option of "fermata serve"]

        --quiet    print nothing when all is well, and no warnings: for scripts

      Does what "fermata serve" does before it listens: reads the configuration, the flag file, certificates and secrets.
      Prints the effective configuration as JSON (secrets left out), or each mistake with its path. Warns of what may be
      wrong around it, such as a name that can't be resolved.

      \(ExitStatus.help(of: "check"))
      """, options: SettingSources.commandLineWords.union(["--quiet"])
  ) { arguments in
    do throws(Arguments.Mistake) {
      let (sources, parsed) = try SettingSources.commandLine(arguments, switches: ["--quiet"])
      return check(sources, isQuiet: parsed.has("--quiet"))
    } catch {
      return misused("check", error)
    }
  }

  private static func check(_ sources: SettingSources, isQuiet: Bool) -> Int32 {
    let configuration: Configuration
    switch sources.load() {
    case .success(let loaded): configuration = loaded
    case .failure(let error):
      Terminal.error(error.description)
      return ExitStatus.invalidFile
    }
    if let fault = FlagSnapshot.fault(of: configuration.flags) {
      Terminal.error(fault)
      return ExitStatus.invalidFile
    }
    if let fault = Surroundings.descriptorFault(configuration) {
      Terminal.error("fermata check: \(fault)")
      return ExitStatus.failure
    }
    if isQuiet { return ExitStatus.success }
    warn(of: configuration)
    Terminal.print(configuration.summary)
    return ExitStatus.success
  }

  private static func warn(of configuration: Configuration) {
    var warnings = LibeventRelease.installed.warning.map { [$0] } ?? []
    if let loop = try? EventLoop() {
      warnings += Surroundings.warnings(of: configuration, loop: loop, patience: .seconds(5))
    }
    for warning in warnings { Terminal.error("fermata: warning: \(warning)") }
  }
}
