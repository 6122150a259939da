package import SSE

/// What a client gets that asks for a run's events behind one that it has.
package enum Resume: Equatable, Sendable {
  /// The entries from there on, then those that come.
  case live(from: LogPosition)
  /// First a `stream_reset` that says so, then everything that is kept.
  case reset(StreamReset.Reason, oldest: UInt64?)
  /// There is nothing for it any more, and it has everything: status 204, at which an EventSource stops.
  case finished

  /// - Parameters:
  ///   - lastID: what the client says that it has (`Last-Event-ID`); empty or `nil` for everything.
  ///   - stream: the id of the run's stream.
  package static func decide(_ lastID: Span<UInt8>?, of stream: StreamID, in log: some EventLog) -> Resume {
    guard let lastID, !lastID.isEmpty else { return live(after: 0, in: log) }
    guard let id = EventID(parsing: lastID) else {
      guard let position = log.position(afterBackendID: lastID) else { return .reset(.unknown, oldest: log.oldest) }
      return live(from: position, in: log)
    }
    // An id of the right form that names another stream was handed out before this one began.
    guard id.stream == stream else { return .reset(.epoch, oldest: log.oldest) }
    return live(after: id.sequence, in: log)
  }

  private static func live(after number: UInt64, in log: some EventLog) -> Resume {
    switch log.position(after: number) {
    case .found(let position): live(from: position, in: log, hasSome: number > 0)
    case .evicted(let oldest): .reset(.evicted, oldest: oldest)
    // Handed out by an owner whose last events were lost with it.
    case .ahead: .reset(.unknown, oldest: log.oldest)
    }
  }

  /// - Parameter hasSome: whether the client has events of this run; one that has none must be told how it ended.
  private static func live(from position: LogPosition, in log: some EventLog, hasSome: Bool = true) -> Resume {
    if hasSome, log.end != nil, !log.hasEvent(from: position) { return .finished }
    return .live(from: position)
  }
}

extension EventLog {
  /// Whether an event stands at or behind `position`, and not only blocks that no client notices.
  fileprivate func hasEvent(from position: LogPosition) -> Bool {
    var found = false
    let end = read(from: position) { _, metadata in
      found = metadata.kind.isEvent
      return !found
    }
    return found || end == nil
  }
}
