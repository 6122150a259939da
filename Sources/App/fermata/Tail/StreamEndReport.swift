import JSON

/// What a `stream_end` event says, as a client reads it.
struct StreamEndReport: Equatable {
  var outcome: String
  var reason: String
  /// The backend's events on this stream.
  var events: Int
  /// The id of the last of them; empty when it had none.
  var lastEventID: String
  var isResumable: Bool
  var hasPartialEvent: Bool
  /// Whether the new closing was taken back while the stream was open: the next one is legacy.
  var isRecalled: Bool
  /// Which stream it ends.
  var streamID: String?

  /// Reads the event's data; `nil` when it is not what a gateway sends.
  init?(parsing data: String) {
    guard let value = try? JSONValue(parsing: data), value["type"]?.string == "stream_end",
      let outcome = value["outcome"]?.string, let events = value["events"]?.integer, events >= 0,
      let lastEventID = value["lastEventId"]?.string
    else { return nil }
    self.outcome = outcome
    self.events = events
    self.lastEventID = lastEventID
    reason = value["reason"]?.string ?? ""
    isResumable = value["resumable"]?.bool ?? false
    hasPartialEvent = value["partialEvent"]?.bool ?? false
    isRecalled = value["closing"] == "legacy-from-now-on"
    streamID = value["streamId"]?.string
  }
}
