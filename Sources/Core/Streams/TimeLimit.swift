/// The time limits of requests and streams, by their names in the configuration. Log lines and problem documents name
/// the one that ended something.
package enum TimeLimit: String, CaseIterable, Sendable {
  case requestHead = "limits.headTimeout"
  case nextRequest = "limits.keepAliveTimeout"
  /// Silence in a request's body or in a response that is no event stream.
  case body = "limits.bodyTimeout"
  case clientStallInAnswer = "limits.stallTimeout"
  case connect = "timeouts.connect"
  case head = "timeouts.head"
  case answer = "timeouts.answer"
  case firstEvent = "timeouts.firstEvent"
  case firstToken = "timeouts.firstToken"
  case budget
  case answerBudget
  case streamFirstToken = "stream.firstToken"
  case idle = "stream.idle"
  case total = "stream.total"
  case clientStall = "stream.clientStall"
  case linger = "stream.linger"
  case storeConnect = "runs.redis.connectTimeout"
  case storeCommand = "runs.redis.commandTimeout"
  case storePatience = "runs.redis.patience"
  case storeLease = "runs.redis.lease"
  case guardConnect = "flags.guardRedis.connectTimeout"
  case guardCommand = "flags.guardRedis.commandTimeout"

  /// `sentence` with the limit's name behind it.
  package func ending(_ sentence: String) -> String { "\(sentence) (\(rawValue))" }

  /// The limit that ``ending(_:)`` has put behind a sentence; `nil` where there is none.
  package init?(endingOf sentence: String) {
    guard sentence.utf8.last == UInt8(ascii: ")"), let open = sentence.utf8.lastIndex(of: UInt8(ascii: "(")) else {
      return nil
    }
    self.init(rawValue: String(sentence[sentence.utf8.index(after: open)...].dropLast()))
  }
}

/// Everything that a client, its backend or the store of runs can be waited for.
package enum PeerWait: CaseIterable, Sendable {
  /// The client sends its first request, or the rest of a request's head.
  case requestHead
  /// A connection that was served sends its next request.
  case nextRequest
  /// The client sends the rest of its request's body.
  case requestBody
  /// The backend takes the request's body.
  case backendTakesBody
  /// The backend accepts a connection, and finishes its TLS handshake.
  case connection
  /// The backend answers a request that expects a stream.
  case streamHead
  /// The backend answers a request that expects no stream.
  case answerHead
  /// The gate waits for the first event.
  case gatedEvent
  /// The gate waits for the first event that bears content.
  case gatedToken
  /// An open stream has had no event.
  case firstEvent
  /// An open stream waits for its next event.
  case nextEvent
  /// The backend sends the rest of an answer that is no stream.
  case answerBody
  /// The client takes what is queued of its stream.
  case clientTakesStream
  /// The client takes what is queued of an answer that is no stream, or of an answer that is complete.
  case clientTakesAnswer
  /// The client ends its side of the connection.
  case clientEnd
  /// Redis accepts a connection, and answers the greeting.
  case storeConnection
  /// Redis answers a command.
  case storeAnswer
  /// Redis takes the events of a run that has begun, while there is none or it refuses them.
  case storeTakesEvents
  /// Another gateway shows that it still has a run, or says that a key's run is its own after Redis has lost data.
  case otherGateway
  /// The Redis over which gateways share kills and trips accepts a connection, and answers the greeting. Nobody waits for it.
  case guardConnection
  /// The same Redis answers a command.
  case guardAnswer

  /// The limits that run meanwhile; the first one that passes ends the wait.
  ///
  /// - Parameters:
  ///   - isLone: whether the route has one upstream and no gate.
  ///   - isLast: whether no upstream is left to try after this one.
  ///   - mode: how the client is served, where that is known.
  package func limits(isLone: Bool, isLast: Bool, mode: Mode) -> [TimeLimit] {
    switch self {
    case .requestHead: [.requestHead]
    case .nextRequest: [.nextRequest]
    case .requestBody, .backendTakesBody, .answerBody: [.body]
    case .connection: [.connect]
    case .streamHead: isLone ? [.head] : isLast ? [.budget] : [.head, .budget]
    case .answerHead: isLone ? [.answer] : isLast ? [.answerBudget] : [.answer, .answerBudget]
    case .gatedEvent: isLast ? [.budget] : [.firstEvent, .budget]
    case .gatedToken: isLast ? [.budget] : [.firstToken, .budget]
    case .firstEvent: mode == .legacy ? [.idle, .total] : [.streamFirstToken, .total]
    case .nextEvent: [.idle, .total]
    case .clientTakesStream: [.clientStall, .total]
    case .clientTakesAnswer: [.clientStallInAnswer]
    case .clientEnd: [.linger]
    case .storeConnection: [.storeConnect]
    case .storeAnswer: [.storeCommand]
    case .storeTakesEvents: [.storePatience]
    case .otherGateway: [.storeLease]
    case .guardConnection: [.guardConnect]
    case .guardAnswer: [.guardCommand]
    }
  }
}
