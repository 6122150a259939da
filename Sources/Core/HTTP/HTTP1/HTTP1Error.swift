/// A peer's message that cannot be read safely. It always ends the connection it came from: after a framing
/// fault nobody knows where the next message begins.
package enum HTTP1Error: Error, Equatable, CustomStringConvertible {
  /// The client is at fault.
  case request(HTTP1Fault)
  /// The upstream is at fault; its client sees 502, or a visible cut when the head is already on its way.
  case response(HTTP1Fault)

  package var fault: HTTP1Fault {
    switch self {
    case .request(let fault), .response(let fault): fault
    }
  }

  package var isResponseFault: Bool {
    if case .response = self { true } else { false }
  }

  /// The status to answer the client with.
  package var status: Int {
    switch self {
    case .request(let fault): fault.status
    case .response: 502
    }
  }

  /// A stable word for logs and metric labels, in snake case.
  package var code: String { fault.rawValue }

  /// One sentence for people. Holds no byte of the message.
  package var description: String { fault.description }
}
