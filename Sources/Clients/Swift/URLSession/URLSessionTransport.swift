public import FermataClientCore

#if canImport(FoundationNetworking)
  import Foundation
  public import FoundationNetworking
#else
  public import Foundation
#endif

/// `URLSession` as a transport, on all platforms.
public final class URLSessionTransport: StreamTransport {
  /// What may wait to be taken of one response, in bytes. On Apple platforms the task is suspended at an eighth of it.
  public static let maximumReceivedBytes = 16 << 20

  private let session: URLSession
  private let delegate = SessionDelegate()

  /// - Parameter configuration: its time limits are replaced: a stream has clocks of its own.
  public init(configuration: URLSessionConfiguration = .default) {
    let week = 7.0 * 24 * 60 * 60
    configuration.timeoutIntervalForRequest = week
    configuration.timeoutIntervalForResource = week
    configuration.requestCachePolicy = .reloadIgnoringLocalCacheData
    configuration.urlCache = nil
    // Streams stay open: six of them would block all that follows.
    configuration.httpMaximumConnectionsPerHost = max(configuration.httpMaximumConnectionsPerHost, 1000)
    #if !canImport(FoundationNetworking)
      configuration.waitsForConnectivity = false
    #endif
    session = URLSession(configuration: configuration, delegate: delegate, delegateQueue: nil)
  }

  deinit { session.finishTasksAndInvalidate() }

  /// Sends a request; redirects are followed here.
  public func send(_ request: TransportRequest) async throws -> any TransportResponse {
    var request = request
    for _ in 0...Redirect.limit {
      let response = try await sendOnce(request)
      guard let next = Redirect.request(after: request, response) else { return response }
      response.cancel()
      request = next
    }
    throw TransportError("more than \(Redirect.limit) redirects", isFinal: true)
  }

  private func sendOnce(_ request: TransportRequest) async throws -> any TransportResponse {
    guard let url = URL(string: request.url), ["http", "https"].contains(url.scheme?.lowercased()), url.host != nil
    else { throw TransportError("the address is no http or https URL", isFinal: true) }
    var made = URLRequest(url: url)
    made.httpMethod = request.method
    made.httpBody = request.body.map { Data($0) }
    for (name, value) in request.headers { made.addValue(value, forHTTPHeaderField: name) }
    let exchange = start(made)
    return try await withTaskCancellationHandler {
      try Task.checkCancellation()
      exchange.resume()
      return try await exchange.head()
    } onCancel: {
      exchange.cancel()
    }
  }
}

extension URLSessionTransport {
  private func start(_ request: URLRequest) -> URLSessionExchange {
    #if canImport(FoundationNetworking)
      // Linux hangs when a body goes out on a kept connection that the server closes, because it can't send it again.
      // A session of its own has no such connections.
      if request.httpMethod != "GET" {
        let delegate = SessionDelegate()
        let session = URLSession(configuration: session.configuration, delegate: delegate, delegateQueue: nil)
        defer { session.finishTasksAndInvalidate() }
        return Self.start(request, in: session, delegate)
      }
    #endif
    return Self.start(request, in: session, delegate)
  }

  private static func start(
    _ request: URLRequest, in session: URLSession, _ delegate: SessionDelegate
  ) -> URLSessionExchange {
    let task = session.dataTask(with: request)
    let exchange = URLSessionExchange(task)
    delegate.add(exchange, for: task)
    return exchange
  }
}

/// Passes what happens to the exchange that it happens to.
private final class SessionDelegate: NSObject, URLSessionDataDelegate, @unchecked Sendable {
  private let lock = NSLock()
  private var exchanges: [Int: URLSessionExchange] = [:]

  func add(_ exchange: URLSessionExchange, for task: URLSessionTask) {
    lock.withLock { exchanges[task.taskIdentifier] = exchange }
  }

  private func exchange(of task: URLSessionTask) -> URLSessionExchange? {
    lock.withLock { exchanges[task.taskIdentifier] }
  }

  func urlSession(
    _ session: URLSession, dataTask: URLSessionDataTask, didReceive response: URLResponse,
    completionHandler: @escaping @Sendable (URLSession.ResponseDisposition) -> Void
  ) {
    exchange(of: dataTask)?.received(response)
    completionHandler(.allow)
  }

  func urlSession(
    _ session: URLSession, task: URLSessionTask, willPerformHTTPRedirection response: HTTPURLResponse,
    newRequest request: URLRequest, completionHandler: @escaping @Sendable (URLRequest?) -> Void
  ) {
    // Followed by `send`: Linux drops the body and resolves relative paths against the origin alone.
    completionHandler(nil)
  }

  func urlSession(_ session: URLSession, dataTask: URLSessionDataTask, didReceive data: Data) {
    exchange(of: dataTask)?.received(data)
  }

  func urlSession(_ session: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
    let exchange = lock.withLock { exchanges.removeValue(forKey: task.taskIdentifier) }
    // Linux does not tell of a redirect that leads nowhere.
    if error == nil, exchange?.status == 0, let response = task.response { exchange?.received(response) }
    exchange?.ended(error)
  }
}

/// One request of a session, and what came of it.
private final class URLSessionExchange: TransportResponse, @unchecked Sendable {
  private struct State {
    var head: (status: Int, fields: [(name: String, value: String)])?
    var pieces: [Data] = []
    var bytes = 0
    var end: Result<Void, TransportError>?
    var waiting: CheckedContinuation<Void, Never>?
    var isSuspended = false
  }

  private static let suspendAt = URLSessionTransport.maximumReceivedBytes / 8
  #if canImport(FoundationNetworking)
    // There a task that goes on after a pause sends its request again, and mixes the two answers.
    private static let suspends = false
  #else
    private static let suspends = true
  #endif
  private let task: URLSessionTask
  private let lock = NSLock()
  private var state = State()

  init(_ task: URLSessionTask) { self.task = task }

  func resume() { task.resume() }

  var status: Int { lock.withLock { state.head?.status ?? 0 } }
  var headers: [(name: String, value: String)] { lock.withLock { state.head?.fields ?? [] } }

  func received(_ response: URLResponse) {
    // Linux reports 103 as a response, before the real one.
    guard let response = response as? HTTPURLResponse, response.statusCode >= 200 else { return }
    let fields = response.allHeaderFields.map { (name: "\($0.key)", value: "\($0.value)") }
    change { $0.head = (response.statusCode, fields) }
  }

  func received(_ data: Data) {
    change { state in
      guard state.end == nil else { return }
      state.pieces.append(data)
      state.bytes += data.count
      if state.bytes > URLSessionTransport.maximumReceivedBytes {
        // Linux reads on whatever one does: there is no other way to stop it.
        state.end = .failure(TransportError("the consumer was too slow", isOverflow: true))
        task.cancel()
      } else if Self.suspends, state.bytes > Self.suspendAt, !state.isSuspended {
        state.isSuspended = true
        task.suspend()
      }
    }
  }

  func ended(_ error: (any Error)?) {
    change { state in
      guard state.end == nil else { return }
      if let error {
        state.end = .failure(TransportError("the connection was cut (\((error as NSError).code))"))
      } else {
        state.end = .success(())
      }
    }
  }

  func cancel() {
    task.cancel()
    change { state in
      state.end = state.end ?? .failure(TransportError("the request was cancelled"))
      state.pieces = []
      state.bytes = 0
    }
  }

  func head() async throws -> any TransportResponse {
    while true {
      let (isThere, end) = lock.withLock { (state.head != nil, state.end) }
      if isThere { return self }
      if case .failure(let error) = end { throw error }
      if case .success = end { throw TransportError("the connection was closed without a response") }
      await changed { $0.head != nil || $0.end != nil }
    }
  }

  func next() async throws -> [UInt8]? {
    while true {
      try Task.checkCancellation()
      let (piece, end) = take()
      if let piece { return Array(piece) }
      if let end {
        try end.get()
        return nil
      }
      await withTaskCancellationHandler {
        await changed { !$0.pieces.isEmpty || $0.end != nil }
      } onCancel: {
        cancel()
      }
    }
  }

  private func take() -> (Data?, Result<Void, TransportError>?) {
    lock.withLock {
      guard !state.pieces.isEmpty else { return (nil, state.end) }
      let piece = state.pieces.removeFirst()
      state.bytes -= piece.count
      if state.isSuspended, state.bytes < Self.suspendAt / 2 {
        state.isSuspended = false
        task.resume()
      }
      return (piece, nil)
    }
  }

  private func change(_ body: (inout State) -> Void) {
    let waiting = lock.withLock {
      body(&state)
      let waiting = state.waiting
      state.waiting = nil
      return waiting
    }
    waiting?.resume()
  }

  private func changed(_ isReady: @Sendable (State) -> Bool) async {
    await withCheckedContinuation { continuation in
      let isNow = lock.withLock {
        if !isReady(state) { state.waiting = continuation }
        return isReady(state)
      }
      if isNow { continuation.resume() }
    }
  }
}
