import Bytes
package import Configuration
package import Files
package import FlagControl
import Flags
import HTTP
package import Logging
package import Loop
import Processes
import RedisLog
import Sockets
import Streams
import TLS
import Telemetry
package import Time
package import Tracing

/// The running gateway: the workers, the flag file, the operators' listener, start and end.
///
/// Made and used on the main thread's loop; the workers have loops and threads of their own.
package final class Gateway {
  /// Why it can't start; says what to do.
  package struct StartError: Error, CustomStringConvertible {
    package let description: String
    /// Whether a file is wrong, so that trying again does not help.
    package var isOfFile = false

    package init(description: String, isOfFile: Bool = false) {
      self.description = description
      self.isOfFile = isOfFile
    }
  }

  package let loop: EventLoop
  package let metrics = GatewayMetrics()
  package let startedAt: WallTime
  package private(set) var settings: Settings
  package private(set) var flags: FlagStore
  package let guardKeeper: GuardKeeper
  /// `nil` where this gateway shares nothing with others.
  package private(set) var guardShare: GuardShare?
  package let censusKeeper: CensusKeeper
  package let process: ProcessRuns
  /// With which sessions of clients are sealed, on all loops and whatever is reloaded.
  let tickets = TicketKeys()
  private let peers = LoopPeers<LoopRuns>()
  package private(set) var workers: [WorkerHandle] = []
  package let log: WorkerLog
  package let build: BuildInfo
  package let logWriter: LogWriter
  /// Where spans wait for the exporter; `nil` where there is no collector.
  package let spans: SpanSink?
  private var exporter: SpanExporter?
  private var service: ServiceReports?
  /// When the configuration in force was read; `nil` before the first reload.
  package private(set) var configuredAt: WallTime?
  private var drainEnd: MonotonicTime?
  private var toldLost = 0
  private let reload: () -> Result<Configuration, ConfigurationError>
  /// Told what becomes of it; to be set before it is started. `nil`: nobody looks after it.
  package var operators: (any Operators)?
  private let reserve = DescriptorReserve()
  private var reloadRetry: Timer?
  private var lastReloadFault: String?
  /// What the last reload brought and only a restart puts in force.
  package private(set) var restartNeeds: [RestartNeed] = []
  package private(set) lazy var certificates = CertificateKeeper(loop: loop) { [unowned self] in rereadCertificates() }
  private var watches: [SignalWatch] = []
  private var logFlush: Timer?
  /// What the drain has still to do.
  private var timers: [Timer] = []
  /// Of the listeners in the file system: removed when no more clients are taken.
  private var socketFiles: [UnixSocketFile] = []
  private var guardTimer: Timer?
  private var censusTimer: Timer?
  package private(set) var isDraining = false
  package private(set) var configurationReloadFailed = false
  private var remaining = 0
  package private(set) var exitStatus: Int32 = 0
  /// Where clients connect; known when it is started.
  package private(set) var address: SocketAddress?

  /// - Parameter reload: reads the configuration again, for SIGHUP.
  package init(
    configuration: Configuration, build: BuildInfo, logWriter: LogWriter, loop: EventLoop,
    reload: @escaping () -> Result<Configuration, ConfigurationError>
  ) throws(StartError) {
    self.loop = loop
    self.build = build
    self.logWriter = logWriter
    self.reload = reload
    startedAt = loop.wallTime()
    spans = configuration.tracing.collector == nil ? nil : SpanSink()
    settings = Settings(configuration, spans: spans)
    log = WorkerLog(writer: logWriter, level: configuration.log.level)
    do {
      flags = try FlagStore(settings: configuration.flags, loop: loop, log: log, reserve: reserve)
    } catch {
      throw StartError(description: error.description, isOfFile: true)
    }
    guardKeeper = GuardKeeper(settings: configuration.flags, loop: loop, log: log, reserve: reserve)
    censusKeeper = CensusKeeper(beside: guardKeeper.stateFile, loop: loop, log: log, reserve: reserve)
    process = ProcessRuns(configuration, identitySeed: censusKeeper.seed)
    guardKeeper.flagsChanged(flags.current.flagSet)
    guardShare = GuardShare(configuration, keeper: guardKeeper, loop: loop, log: log)
  }

  // MARK: - Start

  /// Opens the listeners and starts the workers. Returns when all of them accept connections.
  package func start() throws(StartError) {
    SignalWatch.ignoreBrokenPipes()
    let configuration = settings.configuration
    try refuseUnsupportedRedis()
    var addresses = configuration.places.map(\.address)
    try Listeners.claim(configuration)
    let sockets = try Listeners.openSockets(configuration)
    socketFiles = sockets.values.map(\.file)
    var isStarted = false
    defer { if !isStarted { removeSocketFiles() } }
    for index in 0..<configuration.workers {
      let handle = try WorkerHandle.start(
        index: index, settings: settings, flags: flags.current, metrics: metrics, logWriter: logWriter,
        process: process, peers: peers, limits: connectionLimits, tickets: tickets, addresses: addresses,
        sockets: sockets)
      // With port 0 the first worker's listener picks one, and the others share it.
      addresses = handle.addresses
      workers.append(handle)
    }
    address = addresses[0]
    rotateTicketKeys()
    certificates.follow(configuration.certificateFiles)
    warnOfCertificatesRegularly()
    flags.onChange = { [unowned self] snapshot in
      for worker in workers { worker.adopt(snapshot) }
      guardKeeper.flagsChanged(snapshot.flagSet)
    }
    guardKeeper.onChange = { [unowned self] override in
      for worker in workers { worker.adopt(override) }
    }
    guardKeeper.onChange(guardKeeper.override)
    guardShare?.start()
    runGuard()
    runCensus()
    runExporter()
    try operators?.open()
    try watchSignals()
    socketFiles = try Listeners.publish(sockets)
    operators?.gatewayStarted()
    log.write(.info, .started, at: loop.wallTime()) { line in
      line.field("listen", addresses[0].description)
      if addresses.count > 1 {
        line.field("listeners", addresses.dropFirst().map(\.description).joined(separator: ", "))
      }
      line.field("admin", (operators?.address ?? configuration.admin.listen).description)
      line.field("workers", workers.count)
      line.field("flags", flags.current.version)
      line.field("version", build.version)
      line.field("commit", build.commit)
      line.field("libevent", build.libevent)
    }
    for warning in Surroundings.descriptorWarnings(configuration) {
      log.write(.warning, .fewDescriptors, at: loop.wallTime()) { $0.field("reason", warning) }
    }
    log.flush()
    flushRegularly()
    reportToService()
    isStarted = true
  }

  /// Whoever connects from here on is told that nobody listens, instead of waiting for one who leaves.
  private func removeSocketFiles() {
    for file in socketFiles { file.remove() }
    socketFiles = []
  }

  private func reportToService() {
    guard let manager = ServiceManager(environment: Host.environment) else { return }
    let service = ServiceReports(
      manager, loop: loop, isAlive: { [unowned self] in silentWorkers(for: $0).isEmpty },
      status: { [unowned self] tell in
        gather(
          { $0.books.openStreams }, then: { [unowned self] in tell(statusLine(streams: $0.reduce(0, +))) })
      })
    self.service = service
    service.ready()
  }

  /// How long the drain may still take; `nil` when there is none.
  package var drainLeft: Nanoseconds? { drainEnd.map { max(.zero, $0 - loop.readClock()) } }

  /// For `systemctl status`.
  private func statusLine(streams: Int) -> String {
    let left = drainLeft.map { ", draining, \(Int($0.seconds)) s left" } ?? ""
    return "\(streams) streams\(left)"
  }

  /// A Redis that is away may come; one that runs can never be kept on is a mistake.
  private func refuseUnsupportedRedis() throws(StartError) {
    guard let wanted = settings.configuration.runs.redis else { return }
    let refusal: String?
    do {
      refusal = RedisProbe.refusal(
        of: wanted.redis, tls: wanted.context, on: try EventLoop(), within: .milliseconds(1500))
    } catch {
      throw StartError(description: "no event loop: \(error)")
    }
    if let refusal { throw StartError(description: "runs.redis.url: \(refusal)") }
  }

  /// A loop's share of the descriptors that the process may open.
  private var connectionLimits: ConnectionLimits {
    let limits = settings.configuration.limits
    return ConnectionLimits(
      descriptors: Host.raiseDescriptorLimit(), clients: limits.connections, upstreams: limits.upstreamConnections,
      loops: settings.configuration.workers, listeners: settings.configuration.places.count)
  }

  private func watchSignals() throws(StartError) {
    do {
      watches = [
        try SignalWatch(loop: loop, signal: .terminate) { [unowned self] in drain() },
        try SignalWatch(loop: loop, signal: .interrupt) { [unowned self] in drain() },
        try SignalWatch(loop: loop, signal: .hangUp) { [unowned self] in reloadConfiguration() },
      ]
    } catch {
      throw StartError(description: "signals can't be watched: \(error)")
    }
  }

  private func rotateTicketKeys() {
    after(Self.ticketKeyLife) { [unowned self] in
      tickets.rotate()
      rotateTicketKeys()
    }
  }

  /// A key seals tickets so long, and opens them twice as long.
  private static let ticketKeyLife = Nanoseconds.seconds(6 * 3600)

  private func runGuard() {
    let timer = Timer(loop: loop) { [unowned self] in
      // All or none: sums without one worker's would look like counts that went back.
      gatherAll(
        { $0.books.answerGuard() },
        then: { [unowned self] in
          guardKeeper.take($0)
          if !workers.isEmpty { runGuard() }
        })
    }
    timer.schedule(after: guardKeeper.gatherInterval)
    guardTimer = timer
  }

  private func runExporter() {
    guard let spans else { return }
    exporter = SpanExporter(
      settings.configuration.tracing, sink: spans, version: build.version, instance: ViaName.own.string, loop: loop)
    exporter?.start()
  }

  private func runCensus() {
    let timer = Timer(loop: loop) { [unowned self] in
      gatherCensus { self.censusKeeper.saveRegularly() }
      runCensus()
    }
    timer.schedule(after: CensusKeeper.gatherInterval)
    censusTimer = timer
  }

  private func flushRegularly() {
    let timer = Timer(loop: loop) { [unowned self] in
      tellLostLines()
      log.flush()
      flushRegularly()
    }
    timer.schedule(after: .milliseconds(200))
    logFlush = timer
  }

  /// Says how many lines are missing, once the log is read again.
  private func tellLostLines() {
    let dropped = logWriter.counts.dropped
    guard dropped > toldLost, logWriter.hasRoom else { return }
    log.write(.warning, .logLinesLost, at: loop.wallTime()) { $0.field("lines", dropped - toldLost) }
    toldLost = dropped
  }

  // MARK: - Reload

  /// Reads the flags and the configuration again. What is wrong, or can't be read now, changes nothing.
  private func reloadConfiguration() {
    reloadRetry = nil
    service?.reloading()
    defer { service?.reloaded() }
    flags.reload()
    switch reserve.lend({ reload() }) {
    case .success(let configuration): adopt(configuration)
    case .failure(let error):
      // Without a free descriptor no file can be read: that says nothing of the files.
      if reserve.isShort { reloadLater() }
      if !configurationReloadFailed || error.description != lastReloadFault { tell(error) }
      lastReloadFault = error.description
      configurationReloadFailed = true
    }
  }

  private func tell(_ error: ConfigurationError) {
    log.write(.error, .configurationReloadFailed, at: loop.wallTime()) { line in
      line.field("reason", error.description)
    }
  }

  private func reloadLater() {
    let timer = Timer(loop: loop) { [unowned self] in reloadConfiguration() }
    timer.schedule(after: .milliseconds(200))
    reloadRetry = timer
  }

  private func adopt(_ wanted: Configuration) {
    configurationReloadFailed = false
    let (inForce, needs) = settings.configuration.reloading(wanted)
    restartNeeds = needs
    putInForce(inForce)
    certificates.fault = nil
    certificates.follow(inForce.certificateFiles)
    guardShare?.settingsChanged(inForce)
    log.level = inForce.log.level
    operators?.adopt(inForce.admin)
    configuredAt = loop.wallTime()
    log.write(.info, .configurationReloaded, at: loop.wallTime()) { line in
      if !needs.isEmpty { line.field("restartNeeded", needs.map(\.path).joined(separator: ", ")) }
    }
  }

  func putInForce(_ configuration: Configuration) {
    let settings = Settings(configuration, spans: spans)
    self.settings = settings
    for worker in workers { worker.adopt(settings) }
  }

  // MARK: - End

  /// Takes no new streams, lets the running ones finish, then ends them, then everything. A second call ends at once.
  package func drain() {
    guard !isDraining else { return stop() }
    isDraining = true
    let (delay, end) = (settings.configuration.drainDelay, settings.configuration.drainOfRuns)
    drainEnd = loop.readClock() + delay + end
    log.write(.info, .draining, at: loop.wallTime()) { line in
      line.field("seconds", end.seconds)
      if delay > .zero { line.field("delaySeconds", delay.seconds) }
    }
    log.flush()
    service?.stopping()
    guard delay > .zero else { return closeListeners() }
    for worker in workers { worker.leave() }
    after(delay) { [unowned self] in closeListeners() }
  }

  private func closeListeners() {
    removeSocketFiles()
    guardKeeper.rest()
    gatherCensus { self.censusKeeper.rest() }
    operators?.handOver()
    remaining = workers.count
    for worker in workers {
      worker.drain { [bound = LoopBound(self, loop: loop), mailbox = loop.mailbox] in
        mailbox.post { bound.value.workerIsEmpty() }
      }
    }
    let (drain, end) = (settings.configuration.drain, settings.configuration.drainOfRuns)
    let jitter = Nanoseconds(min(drain.value / 4, Nanoseconds.seconds(2).value))
    if drain < end {
      after(drain) { [unowned self] in
        for worker in workers { worker.endStreams(jitter: jitter, sparesRuns: true) }
      }
    }
    after(end) { [unowned self] in
      for worker in workers { worker.endStreams(jitter: jitter) }
    }
    after(end + jitter) { [unowned self] in
      for worker in workers { worker.endRuns() }
    }
    after(end + jitter + settings.linger + .seconds(1)) { [unowned self] in stop() }
  }

  private func workerIsEmpty() {
    remaining -= 1
    guard remaining == 0 else { return }
    guard let exporter else { return stop() }
    // The last spans have this long to reach their collector.
    exporter.finish { [unowned self] in stop() }
    after(.seconds(2)) { [unowned self] in stop() }
  }

  /// Does `body` later, unless the process ends before.
  package func after(_ delay: Nanoseconds, _ body: @escaping () -> Void) {
    let timer = Timer(loop: loop, handler: body)
    timer.schedule(after: delay)
    timers.append(timer)
  }

  /// Ends everything at once.
  package func stop() {
    removeSocketFiles()
    for worker in workers { worker.stop() }
    operators?.close()
    workers.removeAll()
    for watch in watches { watch.cancel() }
    logFlush?.cancel()
    for timer in timers { timer.cancel() }
    guardTimer?.cancel()
    guardShare?.close()
    exporter?.close()
    certificates.close()
    censusTimer?.cancel()
    reloadRetry?.cancel()
    service?.close()
    log.write(.info, .stopped, at: loop.wallTime()) { _ in }
    log.flush()
    loop.stop()
  }
}
