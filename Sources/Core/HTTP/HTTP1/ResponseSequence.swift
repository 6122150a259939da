/// Tells the heads that answer one request apart: any number of informational ones up to a limit, then one final
/// (RFC 9110 15.2).
package struct ResponseSequence: Sendable {
  package enum Step: Sendable, Equatable {
    /// A 1xx other than 101. Nothing is decided yet.
    case informational
    /// 101 to a request that asked for it: from now on the connection is a tunnel.
    case switchingProtocols
    /// The answer, with a body of this framing.
    case final(BodyFraming)
  }

  private let method: Method
  private let upgradeRequested: Bool
  private var informationalLeft: Int

  /// - Parameter upgradeRequested: whether the request sent upstream asked for another protocol.
  package init(method: Method, upgradeRequested: Bool = false, limits: HeadLimits = HeadLimits()) {
    self.method = method
    self.upgradeRequested = upgradeRequested
    informationalLeft = limits.informationalResponses
  }

  package mutating func receive(_ head: borrowing ResponseHead) throws(HTTP1Error) -> Step {
    if head.status == 101 {
      guard upgradeRequested else { throw .response(.unrequestedUpgrade) }
      return .switchingProtocols
    }
    guard head.isInformational else { return .final(.ofResponse(head, to: method)) }
    guard informationalLeft > 0 else { throw .response(.tooManyInformationalResponses) }
    informationalLeft -= 1
    return .informational
  }
}
