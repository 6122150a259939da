package import Loop
internal import Synchronization

/// A thread with a loop for stream clients, for callers that are tasks.
///
/// ```
/// let clients = try ClientLoop.start()
/// let result = await clients.fetch(ClientRequest("GET", "/script?events=3"), from: backend.address)
/// ```
package final class ClientLoop: Sendable {
  private let thread: LoopThread
  private let loop: LoopBound<EventLoop>

  private init(thread: LoopThread, loop: LoopBound<EventLoop>) {
    self.thread = thread
    self.loop = loop
  }

  package static func start() throws -> ClientLoop {
    let started = Mutex<LoopBound<EventLoop>?>(nil)
    let thread = try LoopThread.start(name: "clients") { loop in
      let bound = LoopBound(loop, loop: loop)
      started.withLock { $0 = bound }
    }
    while true {
      if let loop = started.withLock({ $0 }) { return ClientLoop(thread: thread, loop: loop) }
      Pause.briefly()
    }
  }

  /// Sends one request and waits for its end.
  package func fetch(
    _ request: ClientRequest, from address: SocketAddress, behaviour: ClientBehaviour = ClientBehaviour()
  ) async -> ClientResult {
    await open(request, from: address, behaviour: behaviour).result()
  }

  /// Sends one request and returns while it goes on.
  package func open(
    _ request: ClientRequest, from address: SocketAddress, behaviour: ClientBehaviour = ClientBehaviour()
  ) -> LiveStream {
    let stream = LiveStream(mailbox: thread.mailbox)
    let loop = loop
    thread.mailbox.post {
      let client = StreamClient(loop: loop.value, address: address, request: request, behaviour: behaviour) { result in
        stream.finished(result)
      }
      stream.started(LoopBound(client, loop: loop.value))
      client.start()
    }
    return stream
  }

  /// Ends the thread; streams that are open never finish.
  package func stop() {
    let loop = loop
    thread.mailbox.post { loop.value.stop() }
    thread.join()
  }
}

/// A request that is going on, seen from any thread.
package final class LiveStream: Sendable {
  private struct State {
    var client: LoopBound<StreamClient>?
    var result: ClientResult?
    var waiters: [CheckedContinuation<ClientResult, Never>] = []
  }

  private let mailbox: Mailbox
  private let state = Mutex(State())

  init(mailbox: Mailbox) {
    self.mailbox = mailbox
  }

  func started(_ client: LoopBound<StreamClient>) {
    state.withLock { $0.client = client }
  }

  func finished(_ result: ClientResult) {
    let waiters = state.withLock { state in
      state.result = result
      state.client = nil
      defer { state.waiters = [] }
      return state.waiters
    }
    for waiter in waiters { waiter.resume(returning: result) }
  }

  package var isFinished: Bool { state.withLock { $0.result != nil } }

  /// The whole result, when the request has ended.
  package func result() async -> ClientResult {
    await withCheckedContinuation { continuation in
      let result = state.withLock { state in
        if state.result == nil { state.waiters.append(continuation) }
        return state.result
      }
      if let result { continuation.resume(returning: result) }
    }
  }

  /// What has come so far.
  package func soFar() async -> ClientResult {
    await withCheckedContinuation { continuation in
      let isPosted = mailbox.post { [self] in
        let (result, client) = state.withLock { ($0.result, $0.client) }
        continuation.resume(returning: result ?? client?.value.result ?? ClientResult())
      }
      if !isPosted { continuation.resume(returning: ClientResult()) }
    }
  }

  /// Waits until the body holds `text`; `false` when it has not come in ten seconds.
  package func receives(_ text: String) async -> Bool {
    await eventually { await soFar().text.contains(text) }
  }

  /// Closes the client's side.
  package func hangUp() {
    mailbox.post { [self] in
      let client = state.withLock { $0.client }
      client?.value.hangUp()
    }
  }
}
