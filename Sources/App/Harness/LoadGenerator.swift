internal import HTTP2
package import Loop
internal import Sockets
internal import TLS
package import Time

/// What a load consists of.
package struct LoadPlan: Sendable {
  package enum Shape: String, Sendable {
    /// All streams are opened, then watched.
    case steady
    /// Each stream that ends is replaced by a new one.
    case cycling
  }

  package var address: SocketAddress
  package var request: ClientRequest
  package var shape: Shape
  package var streams: Int
  /// Stamped events that a complete stream has.
  package var eventsPerStream: Int
  /// How long is measured.
  package var duration: Nanoseconds
  /// Over how long the first `streams` are opened, evenly: what a server has to do later comes at the times at which its
  /// streams were opened, and must not come more tightly because it was quick to open them. Zero: as fast as they go.
  package var ramp = Nanoseconds.zero
  /// The value of `X-Stream-Mode` without which a response counts as a failure.
  package var expectedMode: String?
  /// What carries the streams.
  package var transport = ClientTransport()
  /// With HTTP/2: how many share a connection, at least 1.
  package var streamsPerConnection = 1

  package init(
    address: SocketAddress, request: ClientRequest, shape: Shape, streams: Int, eventsPerStream: Int,
    duration: Nanoseconds, ramp: Nanoseconds = .zero, expectedMode: String? = nil
  ) {
    self.address = address
    self.request = request
    self.shape = shape
    self.streams = streams
    self.eventsPerStream = eventsPerStream
    self.duration = duration
    self.ramp = ramp
    self.expectedMode = expectedMode
  }
}

/// What was counted while it was measured.
package struct LoadReport: Sendable {
  package var events = 0
  /// Streams that ended complete.
  package var streams = 0
  /// Streams that could not be opened, were refused, or ended before their time or with events missing.
  package var failures = 0
  package var latency = LatencyHistogram()
  package var elapsed = Nanoseconds.zero

  package init() {}
}

/// Opens many streams at once on one loop and measures what comes.
package final class LoadGenerator {
  /// Connections being made at once: fewer than any server's backlog.
  private static let dialsAtOnce = 100
  /// Failures after which there is no point in going on.
  private static let failureLimit = 1000
  /// Between two looks at how many streams may be opened by now.
  private static let rampStep = Nanoseconds.milliseconds(5)
  /// Before it is measured, once all is running. Where streams replace each other, a server that keeps what has ended
  /// fills its memory first.
  private var settling: Nanoseconds { plan.shape == .cycling ? .seconds(3) : .seconds(1) }
  /// The longest time for all streams to begin, after the time over which they are opened.
  private static let rampLimit = Nanoseconds.seconds(60)

  /// As few calls for each connection as possible: the load shares the machine with what it measures.
  private static let options: SocketOptions = {
    var options = SocketOptions()
    options.keepAlive = nil
    options.userTimeout = nil
    return options
  }()

  private enum Phase {
    case ramp
    case settling
    case measuring
    case done
  }

  let loop: EventLoop
  let plan: LoadPlan
  private let requestBytes: [UInt8]
  /// Over HTTP/2.
  private let sessionRequest: HTTP2Request?
  private let dialer: Dialer
  private var carriers: [ObjectIdentifier: any LoadCarrier] = [:]
  /// Streams that were opened and have not ended, those of connections that are being made among them.
  private var open = 0
  private var attempts: [Int: DialAttempt] = [:]
  private var handshakes: [Int: TLSHandshake] = [:]
  private var dialed = 0
  private var begun = 0
  private var phase = Phase.ramp
  private var report = LoadReport()
  private var measuredSince = MonotonicTime(nanoseconds: 0)
  private var onMeasuring: () -> Void = {}
  private var onDone: (LoadReport) -> Void = { _ in }
  private lazy var timer = Timer(loop: loop) { [unowned self] in advance() }
  private var startedAt = MonotonicTime(nanoseconds: 0)
  private lazy var rampTimer = Timer(loop: loop) { [unowned self] in dialMore() }

  package init(loop: EventLoop, plan: LoadPlan) {
    self.loop = loop
    self.plan = plan
    requestBytes = plan.request.bytes(host: "\(plan.address)")
    sessionRequest =
      plan.transport.speaksHTTP2
      ? HTTP2Exchange.make(
        plan.request, authority: "\(plan.address)", scheme: plan.transport.tls == nil ? "http" : "https") : nil
    dialer = Dialer(loop: loop)
  }

  /// - Parameters:
  ///   - measuring: called when the time that is measured begins.
  ///   - done: called when it ends. Streams stay open until `stop`.
  package func start(measuring: @escaping () -> Void, done: @escaping (LoadReport) -> Void) {
    onMeasuring = measuring
    onDone = done
    timer.schedule(after: plan.ramp + Self.rampLimit)
    startedAt = loop.readClock()
    dialMore()
  }

  package func stop() {
    phase = .done
    timer.cancel()
    rampTimer.cancel()
    for attempt in attempts.values { attempt.cancel() }
    attempts = [:]
    for handshake in handshakes.values { handshake.cancel() }
    handshakes = [:]
    for carrier in carriers.values { carrier.close() }
    carriers = [:]
  }

  private func advance() {
    switch phase {
    case .ramp:
      // Not all have begun: what is missing counts.
      report.failures += plan.streams - begun
      finish()
    case .settling:
      phase = .measuring
      report = LoadReport()
      measuredSince = loop.readClock()
      timer.schedule(after: plan.duration)
      onMeasuring()
    case .measuring: finish()
    case .done: break
    }
  }

  private func finish() {
    phase = .done
    timer.cancel()
    report.elapsed = loop.readClock() - measuredSince
    onDone(report)
  }

  private func dialMore() {
    while phase != .done, attempts.count + handshakes.count < Self.dialsAtOnce, open < plan.streams {
      if plan.shape == .steady, dialed >= plan.streams { return }
      if dialed >= dialsByNow {
        if !rampTimer.isScheduled { rampTimer.schedule(after: Self.rampStep) }
        return
      }
      let number = dialed
      let share = plan.transport.speaksHTTP2 ? min(plan.streamsPerConnection, plan.streams - open) : 1
      dialed += share
      open += share
      attempts[number] = dialer.connect(
        host: plan.address.host, port: plan.address.port, timeout: .seconds(10), options: Self.options
      ) { [unowned self] outcome in
        attempts[number] = nil
        connected(try? outcome.get(), number, share)
      }
    }
  }

  /// How many streams may have been opened by now.
  private var dialsByNow: Int {
    let time = loop.readClock() - startedAt
    guard time < plan.ramp else { return .max }
    return Int(Double(plan.streams) * time.seconds / plan.ramp.seconds) + 1
  }

  private func connected(_ connection: TCPConnection?, _ number: Int, _ share: Int) {
    guard let connection, let tls = plan.transport.tls else {
      begin(connection, share)
      return dialMore()
    }
    handshakes[number] = TLSConnection.connect(
      over: connection, context: tls, serverName: "localhost", timeout: .seconds(10)
    ) { [unowned self] outcome in
      handshakes[number] = nil
      begin(try? outcome.get(), share)
      dialMore()
    }
  }

  /// - Parameter connection: `nil` when there is none.
  private func begin(_ connection: (any Connection)?, _ share: Int) {
    guard let connection else {
      for _ in 0..<share { streamEnded(asExpected: false) }
      return
    }
    guard let sessionRequest else {
      let stream = LoadStream(connection, generator: self)
      carriers[ObjectIdentifier(stream)] = stream
      return stream.start(requestBytes)
    }
    guard let session = try? LoadSession(connection, request: sessionRequest, generator: self) else {
      return begin(nil, share)
    }
    carriers[ObjectIdentifier(session)] = session
    session.start(share)
  }

  private func fail() {
    report.failures += 1
    if report.failures >= Self.failureLimit, phase != .done { finish() }
  }
}

// MARK: What its streams tell

extension LoadGenerator {
  func accepts(_ head: WireHead) -> Bool {
    head.status == 200 && (plan.expectedMode == nil || head.value("X-Stream-Mode") == plan.expectedMode)
  }

  func streamBegan() {
    begun += 1
    if phase == .ramp, begun >= plan.streams {
      phase = .settling
      timer.schedule(after: settling)
    }
  }

  func eventCame(latency: Nanoseconds) {
    guard phase == .measuring else { return }
    report.events += 1
    report.latency.record(latency)
  }

  /// Whether a stream that has ended is replaced.
  var replacesStreams: Bool { phase != .done && plan.shape == .cycling }

  func streamEnded(asExpected: Bool) {
    open -= 1
    if asExpected, plan.shape == .cycling {
      report.streams += 1
    } else {
      fail()
    }
  }

  /// One takes the place of a stream that has ended, over the same connection.
  func streamWasReplaced() { open += 1 }

  func carrierEnded(_ carrier: any LoadCarrier) {
    carriers[ObjectIdentifier(carrier)] = nil
    if plan.shape == .cycling { dialMore() }
  }
}
