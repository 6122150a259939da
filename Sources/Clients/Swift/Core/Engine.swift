#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What the caller asked for.
struct Call: Sendable {
  var method: String
  var url: String
  var headers: [(name: String, value: String)]
  var body: [UInt8]?
  var options: StreamOptions
}

/// A loop over a stream.
final class Loop: Sendable {}

/// Runs one stream: reads ahead, keeps its clocks, and gives the consumer what came.
actor Engine {
  private let call: Call
  private let transport: any StreamTransport
  private let clock = ContinuousClock()
  private let begun: ContinuousClock.Instant
  private var machine: Machine
  private var isStarted = false
  private var loop: Loop?
  private var current: (exchange: Int, work: Task<Void, Never>)?
  private var timer: (at: Double, task: Task<Void, Never>)?
  private var consumer: CheckedContinuation<Void, Never>?
  private var waitingForRoom: [CheckedContinuation<Void, Never>] = []
  private var waitingForEnd: [CheckedContinuation<Void, Never>] = []
  private var deletion: Task<Void, Never>?
  private let report: AsyncStream<StreamState>.Continuation
  nonisolated let states: AsyncStream<StreamState>

  init(_ call: Call, _ transport: any StreamTransport) {
    self.call = call
    self.transport = transport
    begun = clock.now
    machine = Machine(method: call.method, url: call.url, options: call.options)
    (states, report) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(64))
  }

  /// The next message; nil at the end. One consumer.
  func next() async -> Message? {
    start()
    while true {
      if let message = machine.take(now) {
        if !machine.isFull {
          resumeAll(&waitingForRoom)
          // The clocks that stood still while the queue was full go on.
          arm()
        }
        return message
      }
      if machine.isOver { return nil }
      await withCheckedContinuation { consumer in
        self.consumer?.resume()
        self.consumer = consumer
      }
    }
  }

  /// The result, once there is one.
  func result() async -> StreamResult {
    while true {
      if let result = machine.result { return result }
      await withCheckedContinuation { waitingForEnd.append($0) }
    }
  }

  var lastEventID: String { machine.lastEventID }
  var streamID: String? { machine.streamID }
  var mode: String? { machine.mode }
  var bytesReceived: Int { machine.bytes }
  var eventsReceived: Int { machine.books.counted }

  /// Whether this is the consumer, which the first that asks becomes.
  func isConsumed(by loop: Loop) -> Bool {
    if self.loop == nil { self.loop = loop }
    return self.loop === loop
  }

  /// The consumer left its loop.
  func leave(_ loop: Loop) {
    if self.loop == nil || self.loop === loop { leave() }
  }

  /// The consumer left. A stream that is over may still make its connection reusable.
  func leave() {
    machine.close()
    performDecisions()
  }

  /// Ends the request, whatever it waits for.
  func close() async {
    leave()
    current?.work.cancel()
    await current?.work.value
  }

  /// Gives the connection up, where the stream can be resumed. False if it can't.
  func pause() -> Bool {
    let isPaused = machine.pause(now)
    performDecisions()
    return isPaused
  }

  /// Ends a pause at once.
  func goOn() {
    machine.goOn(now)
    performDecisions()
  }

  /// One DELETE. Returns when it was answered, or when it is remembered until the run has an id.
  func cancel() async {
    machine.cancel(now)
    performDecisions()
    await deletion?.value
  }

  private var now: Double { (clock.now - begun).inSeconds }

  private func start() {
    guard !isStarted else { return }
    isStarted = true
    machine.start(now)
    Task { await self.drive() }
  }

  /// After each input: what the machine decided is done.
  private func performDecisions() {
    let effects = machine.effects
    machine.effects = []
    for effect in effects {
      switch effect {
      case .state(let state): tell(state)
      case .cancel(let url): deletion = Task { await self.delete(url) }
      }
    }
    if machine.hasItems || machine.isOver {
      consumer?.resume()
      consumer = nil
    }
    if let current, current.exchange != machine.exchange { current.work.cancel() }
    if machine.isOver || machine.phase == .send || current?.exchange != machine.exchange {
      resumeAll(&waitingForRoom)
    }
    if machine.isOver {
      report.finish()
      resumeAll(&waitingForEnd)
    }
    arm()
  }

  private func resumeAll(_ waiting: inout [CheckedContinuation<Void, Never>]) {
    let all = waiting
    waiting = []
    for one in all { one.resume() }
  }

  /// One timer, which is moved only when it must fire earlier.
  private func arm() {
    guard let deadline = machine.deadline else {
      timer?.task.cancel()
      timer = nil
      return
    }
    if let timer, timer.at <= deadline { return }
    timer?.task.cancel()
    let instant = begun + .seconds(deadline)
    timer = (deadline, Task { await self.wake(at: instant, deadline) })
  }

  private func wake(at instant: ContinuousClock.Instant, _ deadline: Double) async {
    guard (try? await clock.sleep(until: instant)) != nil, timer?.at == deadline else { return }
    timer = nil
    machine.tick(now)
    performDecisions()
  }

  private func drive() async {
    while !machine.isOver {
      guard machine.phase == .send else {
        await withCheckedContinuation { waitingForRoom.append($0) }
        continue
      }
      let plan = machine.plan(now)
      let work = Task { await self.exchange(plan) }
      current = (plan.exchange, work)
      performDecisions()
      await work.value
      current = nil
      performDecisions()
    }
  }

  private func exchange(_ plan: RequestPlan) async {
    do {
      let fields = plan.merged(try await callersHeaders(plan.attempt))
      let request = TransportRequest(
        method: plan.isOriginal ? call.method : "GET", url: plan.url, headers: fields,
        body: plan.isOriginal ? call.body : nil)
      await read(try await transport.send(request), plan.exchange)
    } catch let error as TransportError {
      if error.isFinal, machine.exchange == plan.exchange { machine.fail(error.message) }
      machine.over(plan.exchange, now, clean: false, error.message)
    } catch is CancellationError {
      machine.over(plan.exchange, now, clean: false)
    } catch {
      machine.fail("the headers could not be made: \(type(of: error))")
    }
    performDecisions()
  }

  private func read(_ response: any TransportResponse, _ exchange: Int) async {
    defer { response.cancel() }
    let head = Head(status: response.status, fields: response.headers)
    machine.head(exchange, now, head, retryAfter: head.retryAfter(HTTPDate.seconds, wallClock: HTTPDate.now))
    performDecisions()
    do {
      while await wantsMore(exchange) {
        guard let piece = try await response.next() else {
          machine.over(exchange, now, clean: true)
          break
        }
        machine.data(exchange, now, piece)
        performDecisions()
      }
      await drain(response, exchange)
    } catch {
      let cause = error as? TransportError
      machine.over(
        exchange, now, clean: false, cause?.message ?? "the request was cancelled",
        tooSlow: cause?.isOverflow == true)
    }
  }

  /// Whether to read on. Waits while enough is read ahead.
  private func wantsMore(_ exchange: Int) async -> Bool {
    while machine.exchange == exchange, machine.phase == .body, machine.isFull {
      await withCheckedContinuation { waitingForRoom.append($0) }
    }
    return machine.exchange == exchange && !machine.isOver
  }

  /// After stream_end: reads to the end of the response, so that its connection can be used again.
  private func drain(_ response: any TransportResponse, _ exchange: Int) async {
    guard machine.drains, machine.exchange == exchange else { return }
    let wait = call.options.drainWait
    let limit = Task {
      try await Task.sleep(for: wait)
      response.cancel()
    }
    defer { limit.cancel() }
    var drained = 0
    while drained < 1 << 16, let piece = try? await response.next() { drained += piece.count }
  }

  private func callersHeaders(_ attempt: Int) async throws -> [(name: String, value: String)] {
    guard let make = call.options.headers else { return call.headers }
    let fresh = try await make(attempt)
    let names = Set(fresh.keys.map { $0.lowercased() })
    return call.headers.filter { !names.contains($0.name.lowercased()) }
      + fresh.sorted { $0.key < $1.key }.map { (name: $0.key, value: $0.value) }
  }

  private func delete(_ url: String) async {
    let work = Task { await self.sendDelete(url) }
    // Its answer is nobody's but the log's: a server that gives none is not waited for.
    let limit = Task {
      try await Task.sleep(for: max(call.options.cancelWait, .seconds(10)))
      work.cancel()
    }
    await work.value
    limit.cancel()
  }

  private func sendDelete(_ url: String) async {
    do {
      let request = TransportRequest(method: "DELETE", url: url, headers: try await callersHeaders(0))
      let response = try await transport.send(request)
      defer { response.cancel() }
      while try await response.next() != nil {}
    } catch {
      log(.warning, "Failed to cancel", ["errorMessage": String(describing: type(of: error))])
    }
  }

  private func tell(_ state: StreamState) {
    report.yield(state)
    switch state {
    case .opened(let info): log(.info, "SSE open", ["attempt": String(info.attempt), "mode": info.mode ?? ""])
    case .reconnecting(let delay, let error):
      let status = error.status.map(String.init) ?? ""
      log(.warning, "SSE connection error", ["attempt": String(machine.attempts), "status": status])
      log(.info, "SSE reconnect", ["delayMs": String(Int(delay.inSeconds * 1000))])
    case .late, .completing, .paused: break
    case .closed:
      guard let result = machine.result else { return }
      var data = ["outcome": result.outcome, "events": String(result.events), "bytes": String(result.bytes)]
      guard let error = result.error else { return log(result.outcome == "aborted" ? .debug : .info, "SSE end", data) }
      data["errorData"] = error.code
      log(.error, "Agent run error", data)
    }
  }

  private func log(_ level: StreamLogLevel, _ message: String, _ metadata: [String: String]) {
    guard let logger = call.options.logger else { return }
    logger.log(level, message, metadata.merging(["runId": machine.streamID ?? ""]) { $1 })
  }
}

/// Dates of HTTP (RFC 9110, 5.6.7).
package enum HTTPDate {
  package static var now: Double { Date().timeIntervalSince1970 }

  /// Seconds since 1970 of `Sun, 06 Nov 1994 08:49:37 GMT`, or the same in one of the two ways of before:
  /// `Sunday, 06-Nov-94 08:49:37 GMT` and `Sun Nov  6 08:49:37 1994`. Nil for anything else.
  package static func seconds(_ text: String) -> Double? {
    let isOldest = !text.contains(",")
    var parts = text.split { " :,-".contains($0) }
    if isOldest, parts.count == 7 {
      // The day behind the month, and the year at the end.
      parts = [parts[0], parts[2], parts[1], parts[6], parts[3], parts[4], parts[5], "GMT"]
    }
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
    guard parts.count == 8, parts[7] == "GMT", let month = months.firstIndex(of: String(parts[2])) else { return nil }
    var numbers = [parts[1], parts[3], parts[4], parts[5], parts[6]].compactMap { Int($0) }
    // Two digits are of the century around 2000, as other parsers have it.
    if numbers.count == 5, parts[3].count == 2 { numbers[1] += numbers[1] < 70 ? 2000 : 1900 }
    guard numbers.count == 5, (1...31).contains(numbers[0]), (1970...9999).contains(numbers[1]),
      (0...23).contains(numbers[2]), (0...59).contains(numbers[3]), (0...60).contains(numbers[4])
    else { return nil }
    // Days since 1970 of the civil calendar, with years that begin in March.
    let year = numbers[1] - (month < 2 ? 1 : 0)
    let yearOfEra = year % 400
    let dayOfYear = (153 * ((month + 10) % 12) + 2) / 5 + numbers[0] - 1
    let days = year / 400 * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    return Double(days * 86_400 + numbers[2] * 3600 + numbers[3] * 60 + numbers[4])
  }
}
