import Configuration
import Files
import Gateway
import Glibc
import Loop
import Operations
import Processes

extension Verb {
  static let serve = Verb(
    name: "serve", summary: "run the gateway",
    help: """
      usage: fermata serve --upstream URL [OPTION …]
             fermata serve --config FILE [OPTION …]

        --upstream URL       the backend, such as http://127.0.0.1:9000 (FERMATA_UPSTREAM)
        --listen ADDR:PORT   where clients connect; default 127.0.0.1:8080 (FERMATA_LISTEN)
        --tls-cert FILE      the certificate with which clients are served over https, PEM (FERMATA_TLS_CERT)
        --tls-key FILE       its key, unless it is in the same file (FERMATA_TLS_KEY)
        --admin ADDR:PORT    health, metrics, streams and flags; default 127.0.0.1:8081 (FERMATA_ADMIN_LISTEN)
        --flags FILE         the flag file, watched while it runs; default: everything at legacy (FERMATA_FLAGS_FILE)
        --share              let other processes listen at the same address too, and take the operators' port when it is
                             free: for a restart without a gap, of processes that all have it (FERMATA_SHARE=true)
        --workers N          event loops; default: one per processor (FERMATA_WORKERS)
        --config FILE        everything else, JSON5; "fermata check" tells what is in force (FERMATA_CONFIG)

      An option wins over its variable, a variable over the file, the file over the default. Every setting of the file
      has a variable: FERMATA_ and its path, as in FERMATA_STREAM_IDLE=2m.

      Signals: SIGHUP reads the configuration and the flags again; SIGTERM drains and ends, a second one ends at once.
      Logs go to standard error, one JSON object a line.

      \(ExitStatus.help(of: "serve"))
      """, options: SettingSources.commandLineWords
  ) { arguments in
    do throws(Arguments.Mistake) {
      return Server(sources: try SettingSources.commandLine(arguments).sources).run()
    } catch {
      return misused("serve", error)
    }
  }
}

extension SettingSources {
  /// The setting that an option gives.
  private static let commandLinePaths = [
    "--upstream": "upstream", "--listen": "listen", "--admin": "admin.listen", "--flags": "flags.file",
    "--workers": "workers", "--tls-cert": "tls.cert", "--tls-key": "tls.key",
  ]

  /// What a command line may have.
  static let commandLineWords = Set(commandLinePaths.keys).union(["--config", "--share"])

  /// The sources that a command line names, with the environment behind them.
  static func commandLine(
    _ arguments: [String], switches: Set<String> = []
  ) throws(Arguments.Mistake) -> (sources: SettingSources, parsed: Arguments) {
    let paths = commandLinePaths
    let parsed = try Arguments(
      arguments, options: Set(paths.keys).union(["--config"]), switches: switches.union(["--share"]))
    var sources = SettingSources(environment: Host.environment)
    if let file = parsed["--config"] { sources.file = file }
    if parsed.has("--share") { sources.override("share", with: "true", from: "--share") }
    for (option, path) in paths {
      if let value = parsed[option] { sources.override(path, with: value, from: option) }
    }
    return (sources, parsed)
  }
}

/// The process that serves: its loop, its log, its gateway.
private struct Server {
  let sources: SettingSources

  func run() -> Int32 {
    let configuration: Configuration
    switch sources.load() {
    case .success(let loaded): configuration = loaded
    case .failure(let error):
      Terminal.error(error.description)
      return ExitStatus.invalidFile
    }
    // Before anything is opened: libevent has only words of its own for what is missing then.
    if let fault = Surroundings.descriptorFault(configuration) {
      Terminal.error("fermata serve: \(fault)")
      return ExitStatus.failure
    }
    if let warning = LibeventRelease.installed.warning { Terminal.error("fermata: warning: \(warning)") }
    let isForJournal =
      switch configuration.log.format {
      case .auto: OwnProcess.writesToJournal(Host.environment)
      case .json: false
      case .journald: true
      }
    let logWriter = LogWriter(descriptor: STDERR_FILENO, isForJournal: isForJournal)
    do {
      let loop = try EventLoop()
      let gateway = try Gateway(
        configuration: configuration, build: Program.build, logWriter: logWriter, loop: loop,
        reload: { sources.load() })
      gateway.operators = ControlRoom(of: gateway, page: DashboardPage.page)
      try gateway.start()
      loop.run()
      logWriter.close()
      return gateway.exitStatus
    } catch {
      logWriter.close()
      Terminal.error("fermata serve: \(error)")
      return (error as? Gateway.StartError)?.isOfFile == true ? ExitStatus.invalidFile : ExitStatus.failure
    }
  }
}
