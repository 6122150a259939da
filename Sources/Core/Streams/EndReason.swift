/// Why a stream ended, in the words that clients, log lines and reports show. Each sentence stands here, once.
package enum EndReason: Equatable, Sendable {
  // The backend.
  case backendEnded
  case backendEndedWithoutTerminal
  /// - Parameter name: the error's type or code, as the backend has it; empty when it has none.
  case backendToldError(name: String)
  case backendCut(UpstreamFault)
  case backendAnswered(status: Int)
  case firstTokenTimeout
  case idleTimeout
  case totalTimeout
  case eventTooLarge
  case noRoomForBody
  case noAttempt

  // The worker that writes a run.
  case workerFirstTokenTimeout
  case workerIdleTimeout
  case workerSilentAfterTerminal

  // The client.
  case clientClosed
  case clientStalled
  case clientTooSlow
  case clientCameAnew
  case slowAndMemoryIsShort
  case requestCutShort
  case lastReaderLeft

  // The gateway and its operators.
  case shuttingDown
  case stopped
  case clientAsked
  case readersSideStopped
  case otherGatewayEnded
  case eventsAreGone
  case storeUnreachable

  package var text: String {
    switch self {
    case .backendEnded: "the backend ended its stream"
    case .backendEndedWithoutTerminal: "the backend ended without its terminal"
    case .backendToldError(let name): "the backend told of an error in its stream" + (name.isEmpty ? "" : ": \(name)")
    case .backendCut(let fault): fault.rawValue
    case .backendAnswered(let status): "the backend answered \(status)"
    case .firstTokenTimeout: TimeLimit.streamFirstToken.ending("the backend sent no event in time")
    case .idleTimeout: TimeLimit.idle.ending("the backend was silent for too long")
    case .totalTimeout: TimeLimit.total.ending("the stream's total time is up")
    case .eventTooLarge: "an event is larger than allowed"
    case .noRoomForBody: "the memory for requests' bodies is used up"
    case .noAttempt: "internal error: no backend connection is attached to this stream"
    case .workerFirstTokenTimeout: TimeLimit.streamFirstToken.ending(Self.workerSilence)
    case .workerIdleTimeout: TimeLimit.idle.ending(Self.workerSilence)
    case .workerSilentAfterTerminal: "the worker has said nothing behind its terminal"
    case .clientClosed: "the client closed the connection"
    case .clientStalled: TimeLimit.clientStall.ending("the client took nothing for too long")
    case .clientTooSlow: "the client was too slow for what is kept"
    case .clientCameAnew: "the client has opened its stream anew"
    case .slowAndMemoryIsShort: "the run is over, the client is slow, and the memory for runs is short"
    case .requestCutShort: "its request was not complete"
    case .lastReaderLeft: "its last reader has left"
    case .shuttingDown: "the gateway is shutting down"
    case .stopped: "the gateway was stopped"
    case .clientAsked: "a client has asked for it"
    case .readersSideStopped: "a reader's side has stopped it"
    case .otherGatewayEnded: "another gateway has ended the run"
    case .eventsAreGone: "the run's events are gone"
    case .storeUnreachable: "the store of runs can't be reached"
    }
  }

  private static let workerSilence = "the worker was silent for too long"
}
