#if canImport(Observation)
  public import Observation

  /// A stream for a view: what came so far, and how it stands. Changes at most once in `throttle`, and at once when the
  /// stream opens, is reset or ends, so that a view is not drawn for every token.
  ///
  /// Dropping it ends the request, and nothing else: a kept run goes on.
  @available(macOS 14, iOS 17, tvOS 17, watchOS 10, visionOS 1, *)
  @Observable @MainActor
  public final class AgentStream {
    /// How a stream stands, for a view.
    public enum Status: String, Sendable {
      /// `start` was not called.
      case idle
      /// There is no response yet.
      case connecting
      /// Events come.
      case streaming
      /// The answer is over; what may follow is waited for.
      case completing
      /// The connection was lost; a request will be sent again.
      case reconnecting
      /// The connection was given up by `pause`.
      case paused
      /// It ended as it should.
      case done
      /// It is not complete: `error` says why.
      case failed
      /// The caller left or stopped the run.
      case cancelled
    }

    /// How the stream stands.
    public private(set) var status = Status.idle
    /// The events so far: the newest of them, where they are more than `Limits` allows.
    public private(set) var partials: [ServerEvent] = []
    /// How many old events were dropped from `partials`.
    public private(set) var partialsDropped = 0
    /// Where another stream would continue.
    public private(set) var lastEventID = ""
    /// This is the whole answer.
    public private(set) var isComplete = false
    /// Bytes of all response bodies.
    public private(set) var bytesReceived = 0
    /// No event came in time; nothing is closed.
    public private(set) var isLate = false
    /// The gateway's id of the stream.
    public private(set) var streamID: String?
    /// How it ended; nil while it goes on.
    public private(set) var result: StreamResult?
    /// Why it is not complete.
    public private(set) var error: FermataError?

    /// What `partials` may hold.
    public struct Limits: Sendable {
      /// So many events.
      public var events = 10_000
      /// Of their data.
      public var bytes = 10_000_000
      /// The shortest time between two changes.
      public var throttle = Duration.milliseconds(50)

      /// Those above.
      public init() {}
    }

    @ObservationIgnored private let open: @Sendable () -> FermataStream
    @ObservationIgnored private let limits: Limits
    @ObservationIgnored private var stream: FermataStream?
    @ObservationIgnored private var work: [Task<Void, Never>] = []
    @ObservationIgnored private var pending = Pending()
    @ObservationIgnored private var flush: Task<Void, Never>?

    /// What came and is not shown yet.
    private struct Pending {
      var events: [ServerEvent] = []
      var bytes = 0
      var shownBytes = 0
    }

    /// - Parameter open: makes the stream, for each `start`: `{ client.stream(request) }`.
    public init(limits: Limits = Limits(), open: @escaping @Sendable () -> FermataStream) {
      self.open = open
      self.limits = limits
    }

    deinit { for task in work { task.cancel() } }

    /// Begins, or begins anew: what an earlier stream brought is dropped, and nothing more of it is shown.
    public func start() {
      leave()
      clear()
      (isComplete, bytesReceived, isLate, lastEventID) = (false, 0, false, "")
      (streamID, result, error) = (nil, nil, nil)
      status = .connecting
      let stream = open()
      self.stream = stream
      work = [
        Task { [weak self] in
          for await state in stream.states { self?.changed(state, of: stream) }
        },
        Task { [weak self] in
          do {
            for try await message in stream { self?.take(message) }
          } catch {}
          if Task.isCancelled { return }
          await self?.ended(stream)
        },
      ]
    }

    /// Stops the run at the server. Returns when that has answered; the events until its end still come.
    public func cancel() async { await stream?.cancelRun() }

    /// Ends the request and nothing else.
    public func close() async { await stream?.close() }

    /// Gives the connection up while the app is in the background, where the stream can be resumed.
    public func pause() async { await stream?.pause() }

    /// Goes on after `pause`, and ends the wait before another try.
    public func resume() async { await stream?.resume() }

    private func leave() {
      for task in work { task.cancel() }
      work = []
      flush?.cancel()
      flush = nil
      stream = nil
    }

    private func clear() {
      pending = Pending()
      partials = []
      partialsDropped = 0
    }

    private func changed(_ state: StreamState, of stream: FermataStream) {
      guard result == nil, !Task.isCancelled else { return }
      switch state {
      case .opened(let info):
        (status, streamID) = (.streaming, info.streamID ?? streamID)
      case .reconnecting: status = .reconnecting
      case .completing: status = .completing
      case .paused: status = .paused
      case .late: isLate = true
      case .closed: break
      }
    }

    private func take(_ message: Message) {
      guard !Task.isCancelled else { return }
      switch message {
      case .reset:
        clear()
        status = .streaming
      case .event(let event):
        pending.events.append(event)
        pending.bytes += event.data.utf8.count
        if pending.events.count > limits.events || pending.bytes > limits.bytes { show() }
        guard flush == nil else { return }
        let stream = stream
        flush = Task { [weak self, throttle = limits.throttle] in
          try? await Task.sleep(for: throttle)
          guard !Task.isCancelled else { return }
          let bytes = await stream?.bytesReceived
          self?.flushed(bytes)
        }
      }
    }

    private func flushed(_ bytes: Int?) {
      guard !Task.isCancelled else { return }
      flush = nil
      show()
      if let bytes, result == nil { bytesReceived = bytes }
    }

    /// One change of `partials` for all that waits.
    private func show() {
      guard let last = pending.events.last else { return }
      var all = partials + pending.events
      var bytes = pending.shownBytes + pending.bytes
      var dropped = 0
      while all.count - dropped > limits.events || bytes > limits.bytes, dropped < all.count - 1 {
        bytes -= all[dropped].data.utf8.count
        dropped += 1
      }
      if dropped > 0 {
        all.removeFirst(dropped)
        partialsDropped += dropped
      }
      pending = Pending()
      pending.shownBytes = bytes
      partials = all
      lastEventID = last.id
      isLate = false
    }

    private func ended(_ stream: FermataStream) async {
      let result = await stream.result
      guard !Task.isCancelled else { return }
      flush?.cancel()
      flush = nil
      show()
      (self.result, error, isComplete) = (result, result.error, result.isComplete)
      (bytesReceived, lastEventID, streamID) = (result.bytes, result.lastEventID, result.streamID)
      status =
        result.error != nil ? .failed : ["cancelled", "aborted"].contains(result.outcome) ? .cancelled : .done
    }
  }
#endif
