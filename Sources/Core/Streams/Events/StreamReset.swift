package import Bytes
package import SSE
package import Time

/// Tells a client that what follows does not go on where it left off. Headers don't reach an EventSource, so it is an
/// event; it has no id, which leaves the client's own as it is.
package struct StreamReset {
  package enum Reason: String, Sendable {
    /// The id names nothing here.
    case unknown
    /// What came next is not kept any more.
    case evicted
    /// The id was given in another life of the stream.
    case epoch
  }

  package var stream: StreamID
  package var reason: Reason
  /// The number of the oldest event that is kept, with which the client starts anew.
  package var oldest: UInt64?
  package var time: WallTime

  package init(stream: StreamID, reason: Reason, oldest: UInt64?, time: WallTime) {
    self.stream = stream
    self.reason = reason
    self.oldest = oldest
    self.time = time
  }

  package func write(to out: inout ByteBuffer) {
    EventWriter.event("stream_reset", type: "stream_reset", to: &out) { out in
      out.append(member: "streamId", stream)
      out.append(member: "reason", word: reason.rawValue)
      if let oldest {
        out.append(member: "oldest", EventID(stream: stream, sequence: oldest))
      } else {
        out.append(jsonMember: "oldest")
        out.append("null")
      }
      out.append(member: "timestamp", time)
    }
  }
}
