/// A stream: iterate it once. The request is sent when the first message is asked for.
///
/// The loop throws `FermataError` after the last event if the stream is not complete. Leaving the loop, and cancelling
/// its task, ends the request at once.
public struct FermataStream: AsyncSequence, Sendable {
  /// Events and resets.
  public typealias Element = Message

  private let engine: Engine

  package init(
    _ method: String, _ url: String, headers: [(name: String, value: String)], body: [UInt8]?, options: StreamOptions,
    over transport: any StreamTransport
  ) {
    engine = Engine(Call(method: method, url: url, headers: headers, body: body, options: options), transport)
  }

  /// For one loop: a stream has one consumer.
  public func makeAsyncIterator() -> Iterator { Iterator(Consumer(engine)) }

  /// How the stream ended: waits for it.
  public var result: StreamResult { get async { await engine.result() } }

  /// What the stream does, for one listener. The newest 64 are kept.
  public var states: AsyncStream<StreamState> { engine.states }

  /// The id of the last event taken: where another stream would continue.
  public var lastEventID: String { get async { await engine.lastEventID } }
  /// The gateway's id of the stream; nil before the head, and from a plain server.
  public var streamID: String? { get async { await engine.streamID } }
  /// `graceful`, `legacy`, `shield`; nil before the head, and from a plain server.
  public var mode: String? { get async { await engine.mode } }
  /// Bytes of all response bodies.
  public var bytesReceived: Int { get async { await engine.bytesReceived } }
  /// Counted events since the last reset.
  public var eventsReceived: Int { get async { await engine.eventsReceived } }

  /// Stops the run at the server. Iterate on to receive its end.
  public func cancelRun() async { await engine.cancel() }

  /// Gives the connection up and keeps what came: for an app that goes to the background.
  ///
  /// - Returns: false if the stream could not be resumed: it stays as it is.
  @discardableResult
  public func pause() async -> Bool { await engine.pause() }

  /// Goes on after `pause`, behind the last event. Also ends the wait before another try at once: call it when the
  /// network is back.
  public func resume() async { await engine.goOn() }

  /// Ends the request and nothing else: a kept run goes on. Returns when the connection is closed.
  public func close() async { await engine.close() }

  /// The iterator of a loop.
  public struct Iterator: AsyncIteratorProtocol {
    private let consumer: Consumer

    init(_ consumer: Consumer) { self.consumer = consumer }

    /// The next message; nil at the end.
    ///
    /// - Throws: `FermataError` if the stream is not complete, or has another iterator (`already_iterated`);
    ///   `CancellationError` if the task was cancelled.
    public mutating func next() async throws -> Message? { try await consumer.next() }
  }

  /// Closes the stream when the loop is left.
  final class Consumer: Sendable {
    private let engine: Engine
    private let loop = Loop()

    init(_ engine: Engine) { self.engine = engine }

    deinit {
      let (engine, loop) = (engine, loop)
      Task { await engine.leave(loop) }
    }

    func next() async throws -> Message? {
      let (engine, loop) = (engine, loop)
      guard await engine.isConsumed(by: loop) else {
        throw FermataError(code: "already_iterated", message: "a stream has one consumer", isRetryable: false)
      }
      let message = await withTaskCancellationHandler {
        await engine.next()
      } onCancel: {
        Task { await engine.leave(loop) }
      }
      if let message { return message }
      try Task.checkCancellation()
      if let error = await engine.result().error { throw error }
      return nil
    }
  }
}
