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
    out.append("event: stream_reset\ndata: {\"type\":\"stream_reset\",\"streamId\":\"")
    stream.write(to: &out)
    out.append("\",\"reason\":\"")
    out.append(reason.rawValue)
    out.append("\",\"oldest\":")
    if let oldest {
      out.append(UInt8(ascii: "\""))
      EventID(stream: stream, sequence: oldest).write(to: &out)
      out.append(UInt8(ascii: "\""))
    } else {
      out.append("null")
    }
    out.append(",\"timestamp\":\"")
    out.append(time.rfc3339)
    out.append("\"}\n\n")
  }
}
