/// One Server-Sent Event with data.
public struct ServerEvent: Sendable, Hashable {
  /// The value of its `event:` line; `message` without one.
  public var type: String
  /// Its data lines, joined by line feeds.
  public var data: String
  /// The last event id in force when it came; empty if there is none.
  public var id: String

  /// An event, for tests of a program's own.
  public init(type: String = "message", data: String, id: String = "") {
    self.type = type
    self.data = data
    self.id = id
  }
}

/// The next events do not continue the previous ones: drop what you have shown.
public struct StreamReset: Sendable, Hashable {
  /// `unknown` (a new run follows), `evicted` or `epoch` (everything still stored follows).
  public var reason: String
  /// The id of the oldest event that the gateway still stores.
  public var oldest: String?
  /// The stream that follows.
  public var streamID: String
}

/// What a consumer is given.
public enum Message: Sendable, Hashable {
  /// An event of the backend, or the gateway's `prompt_ready`.
  case event(ServerEvent)
  /// What follows begins anew.
  case reset(StreamReset)
}
