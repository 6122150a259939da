import Bytes
package import Files
import Flags
package import Loop
import Processes
import Sockets
import Streams
import Telemetry
import Time

/// The running gateway: the workers, the flag file, the operators' listener, start and end.
///
/// Made and used on the main thread's loop; the workers have loops and threads of their own.
package final class Gateway {
  /// Why it can't start; says what to do.
  package struct StartError: Error, CustomStringConvertible {
    package let description: String
  }

  package let loop: EventLoop
  let metrics = GatewayMetrics()
  let startedAt: WallTime
  private(set) var settings: Settings
  private(set) var flags: FlagStore
  let guardKeeper: GuardKeeper
  let hub: RunHub
  private(set) var workers: [WorkerHandle] = []
  private let log: WorkerLog
  private let logWriter: LogWriter
  private let reload: () -> Result<Configuration, ConfigurationError>
  private var admin: AdminServer?
  private var watches: [SignalWatch] = []
  private var logFlush: Timer?
  /// What the drain has still to do.
  private var timers: [Timer] = []
  private var guardTimer: Timer?
  private(set) var isDraining = false
  private(set) var configurationReloadFailed = false
  private var remaining = 0
  package private(set) var exitStatus: Int32 = 0
  /// Where clients connect; known when it is started.
  package private(set) var address: SocketAddress?
  package private(set) var adminAddress: SocketAddress?

  /// - Parameter reload: reads the configuration again, for SIGHUP.
  package init(
    configuration: Configuration, logWriter: LogWriter, loop: EventLoop,
    reload: @escaping () -> Result<Configuration, ConfigurationError>
  ) throws(StartError) {
    self.loop = loop
    self.logWriter = logWriter
    self.reload = reload
    startedAt = loop.wallTime()
    settings = Settings(configuration)
    log = WorkerLog(writer: logWriter, level: configuration.logLevel)
    do {
      flags = try FlagStore(settings: configuration.flags, loop: loop, log: log)
    } catch {
      throw StartError(description: error.description)
    }
    hub = RunHub(memory: configuration.runs.memory)
    guardKeeper = GuardKeeper(settings: configuration.flags, loop: loop, log: log)
    guardKeeper.flagsChanged(flags.current.flagSet)
  }

  // MARK: - Start

  /// Opens the listeners and starts the workers. Returns when all of them accept connections.
  package func start() throws(StartError) {
    SignalWatch.ignoreBrokenPipes()
    let configuration = settings.configuration
    var address = configuration.listen
    for index in 0..<configuration.workers {
      let handle = try WorkerHandle.start(
        index: index, settings: settings, flags: flags.current, metrics: metrics, logWriter: logWriter,
        hub: hub, connectionLimit: connectionLimit, address: address)
      // With port 0 the first listener picks one, and the others share it.
      address = handle.address
      workers.append(handle)
    }
    self.address = address
    flags.onChange = { [unowned self] snapshot in
      for worker in workers { worker.adopt(snapshot) }
      guardKeeper.flagsChanged(snapshot.flagSet)
    }
    guardKeeper.onChange = { [unowned self] isRolledBack in
      for worker in workers { worker.setRolledBack(isRolledBack) }
    }
    if guardKeeper.isRollingBack { guardKeeper.onChange(true) }
    runGuard()
    try startAdmin(configuration.admin)
    try watchSignals()
    log.write(.info, "started", at: loop.wallTime()) { line in
      line.field("listen", address.description)
      line.field("admin", adminAddress?.description ?? "")
      line.field("workers", workers.count)
      line.field("flags", flags.current.version)
      line.field("libevent", EventLoop.libeventVersion)
    }
    log.flush()
    flushRegularly()
  }

  /// Just under half of the descriptors that the process may open: each stream needs two.
  private var connectionLimit: Int {
    let configured = settings.configuration.limits.connections
    let all = configured > 0 ? configured : max(16, Host.raiseDescriptorLimit() / 2 - 100)
    return max(1, all / settings.configuration.workers)
  }

  private func startAdmin(_ admin: AdminSettings) throws(StartError) {
    let server = AdminServer(loop: loop, token: admin.token) { [unowned self] request, respond in
      answerAdmin(request, respond)
    }
    do {
      try server.listen(at: admin.listen)
    } catch {
      throw StartError(description: "the admin listener can't start on \(admin.listen): \(error)")
    }
    self.admin = server
    adminAddress = server.localAddress
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

  private func runGuard() {
    let timer = Timer(loop: loop) { [unowned self] in
      gather({ $0.books.answerGuard() }, then: { self.guardKeeper.take($0) })
      runGuard()
    }
    timer.schedule(after: guardKeeper.gatherInterval)
    guardTimer = timer
  }

  private func flushRegularly() {
    let timer = Timer(loop: loop) { [unowned self] in
      log.flush()
      flushRegularly()
    }
    timer.schedule(after: .milliseconds(200))
    logFlush = timer
  }

  // MARK: - Reload

  private func reloadConfiguration() {
    flags.reload()
    switch reload() {
    case .success(let configuration):
      configurationReloadFailed = false
      let settings = Settings(configuration)
      self.settings = settings
      for worker in workers { worker.adopt(settings) }
      log.level = configuration.logLevel
      log.write(.info, "configuration_reloaded", at: loop.wallTime()) { _ in }
    case .failure(let error):
      configurationReloadFailed = true
      log.write(.error, "configuration_reload_failed", at: loop.wallTime()) { line in
        line.field("reason", error.description)
      }
    }
  }

  // MARK: - End

  /// Takes no new streams, lets the running ones finish, then ends them, then everything. A second call ends at once.
  package func drain() {
    guard !isDraining else { return stop() }
    isDraining = true
    guardKeeper.rest()
    log.write(.info, "draining", at: loop.wallTime()) { line in
      line.field("seconds", settings.configuration.drain.seconds)
    }
    log.flush()
    remaining = workers.count
    for worker in workers {
      worker.drain { [bound = LoopBound(self, loop: loop), mailbox = loop.mailbox] in
        mailbox.post { bound.value.workerIsEmpty() }
      }
    }
    let end = settings.configuration.drain
    let jitter = Nanoseconds(min(end.value / 4, Nanoseconds.seconds(2).value))
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
    if remaining == 0 { stop() }
  }

  private func after(_ delay: Nanoseconds, _ body: @escaping () -> Void) {
    let timer = Timer(loop: loop, handler: body)
    timer.schedule(after: delay)
    timers.append(timer)
  }

  /// Ends everything at once.
  package func stop() {
    for worker in workers { worker.stop() }
    workers.removeAll()
    admin?.close()
    for watch in watches { watch.cancel() }
    logFlush?.cancel()
    for timer in timers { timer.cancel() }
    guardTimer?.cancel()
    log.write(.info, "stopped", at: loop.wallTime()) { _ in }
    log.flush()
    loop.stop()
  }
}

/// A worker as the main thread sees it: only through its mailbox.
final class WorkerHandle {
  private let thread: LoopThread
  private let worker: LoopBound<Worker>
  let address: SocketAddress

  private init(thread: LoopThread, worker: LoopBound<Worker>, address: SocketAddress) {
    self.thread = thread
    self.worker = worker
    self.address = address
  }

  /// Starts a worker and waits until it listens.
  static func start(
    index: Int, settings: Settings, flags: FlagSnapshot, metrics: GatewayMetrics, logWriter: LogWriter,
    hub: RunHub, connectionLimit: Int, address: SocketAddress
  ) throws(Gateway.StartError) -> WorkerHandle {
    let started = Rendezvous<Result<(LoopBound<Worker>, SocketAddress), Gateway.StartError>>()
    let thread: LoopThread
    do {
      thread = try LoopThread.start(name: "worker-\(index)") { loop in
        let log = WorkerLog(writer: logWriter, level: settings.configuration.logLevel)
        let worker = Worker(
          index: index, loop: loop, settings: settings, flags: flags, metrics: metrics, log: log,
          hub: hub, connectionLimit: connectionLimit)
        do {
          try worker.listen(at: address)
          started.put(.success((LoopBound(worker, loop: loop), worker.localAddress ?? address)))
          worker.flushLogRegularly()
        } catch {
          started.put(.failure(Gateway.StartError(description: "can't listen on \(address): \(error)")))
          loop.stop()
        }
      }
    } catch {
      throw Gateway.StartError(description: "no thread for worker \(index): \(error)")
    }
    let (worker, bound) = try started.take().get()
    return WorkerHandle(thread: thread, worker: worker, address: bound)
  }

  func adopt(_ flags: FlagSnapshot) {
    thread.mailbox.post { [worker] in worker.value.adopt(flags) }
  }

  func adopt(_ settings: Settings) {
    thread.mailbox.post { [worker] in worker.value.adopt(settings) }
  }

  func setRolledBack(_ isRolledBack: Bool) {
    thread.mailbox.post { [worker] in worker.value.isRolledBack = isRolledBack }
  }

  func drain(_ completion: @escaping @Sendable () -> Void) {
    thread.mailbox.post { [worker] in worker.value.drain(completion) }
  }

  func endStreams(jitter: Nanoseconds) {
    thread.mailbox.post { [worker] in worker.value.endStreams(jitter: jitter) }
  }

  func endRuns() {
    thread.mailbox.post { [worker] in worker.value.endRuns() }
  }

  /// Asks the worker for something and hands it to `body` on the asking loop.
  func ask<Answer: Sendable>(
    from loop: EventLoop, _ question: @escaping @Sendable (Worker) -> Answer,
    then body: LoopBound<(Answer) -> Void>
  ) {
    let home = loop.mailbox
    thread.mailbox.post { [worker] in
      let answer = question(worker.value)
      home.post { body.value(answer) }
    }
  }

  func stop() {
    thread.mailbox.post { [worker] in worker.value.stop() }
    thread.join()
  }
}
