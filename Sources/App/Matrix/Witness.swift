package import Harness
package import JSON

/// What a client says that it saw.
package struct ClientWitness: Sendable, Equatable {
  package enum End: String, Sendable {
    /// The client took the stream for over.
    case closed
    /// It raised an error, or said that something is missing.
    case error
    /// It was still waiting when its time was up.
    case timeout
  }

  package var version = ""
  package var events: [ReceivedEvent] = []
  package var end: End
  package var error: String?
  package var status: Int?
  package var reconnects = 0
  /// The outcome that the client told its caller.
  package var sawOutcome: String?

  package init(end: End) { self.end = end }

  /// The line that an adapter wrote.
  ///
  /// - Throws: what is wrong with it.
  package init(parsing value: JSONValue) throws(MatrixFileError) {
    guard let end = value["end"]?.string.flatMap(End.init(rawValue:)) else {
      throw MatrixFileError("\"end\" is none of closed, error, timeout")
    }
    self.end = end
    guard let rows = value["events"]?.array else { throw MatrixFileError("\"events\" is no array") }
    for row in rows {
      guard let members = row.array, members.count == 3, let data = members[2].string else {
        throw MatrixFileError("an event is no array of type, id and data: \(row.text().prefix(100))")
      }
      let type = members[0].string ?? ""
      events.append(
        ReceivedEvent(type: type.isEmpty ? "message" : type, data: EventText.short(data), id: members[1].string))
    }
    version = value["version"]?.string ?? ""
    error = value["error"]?.string
    status = value["status"]?.integer
    reconnects = value["reconnects"]?.integer ?? 0
    sawOutcome = value["sawOutcome"]?.string
  }
}

/// What the scripted backend was asked.
package struct BackendWitness: Sendable, Equatable {
  package var requests: Int
  /// How each of its responses ended.
  package var ends: [String]

  package init(requests: Int, ends: [String] = []) {
    (self.requests, self.ends) = (requests, ends)
  }
}

/// What the gateway logged of the cell's streams.
package struct GatewayWitness: Sendable, Equatable {
  package struct Stream: Sendable, Equatable {
    package var id: String
    package var mode: String
    /// `nil` while it is open.
    package var outcome: String?
    package var reason = ""
    package var events = 0
    /// What was spoken with the client; `nil` while it is open.
    package var wire: MatrixTransport.Wire?

    package init(id: String, mode: String) { (self.id, self.mode) = (id, mode) }
  }

  package var streams: [Stream]

  package init(streams: [Stream] = []) { self.streams = streams }
}

/// Long data by its length and digest, so that witnesses stay short.
package enum EventText {
  /// Characters beyond which data is shortened.
  package static let limit = 2000

  package static func short(_ data: String) -> String {
    guard data.utf8.count > limit else { return data }
    return "sha256:\(digest(data)):\(data.utf8.count)"
  }
}
