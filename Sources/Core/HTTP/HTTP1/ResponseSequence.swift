/// Tells the heads that answer one request apart: any number of informational ones up to a limit, then one final
/// (RFC 9110, 15.2).
package struct ResponseSequence: Sendable {
  private let method: Method
  private var informationalLeft: Int

  package init(method: Method, limits: HeadLimits = HeadLimits()) {
    self.method = method
    informationalLeft = limits.informationalResponses
  }

  /// - Returns: the framing of the body that follows; `nil` for an informational head, by which nothing is decided yet.
  /// - Throws: for a 101, which nobody asks for: `Upgrade` is not forwarded.
  package mutating func receive(_ head: borrowing ResponseHead) throws(HTTP1Error) -> BodyFraming? {
    if head.status == 101 { throw .response(.unrequestedUpgrade) }
    guard head.isInformational else { return .ofResponse(head, to: method) }
    guard informationalLeft > 0 else { throw .response(.tooManyInformationalResponses) }
    informationalLeft -= 1
    return nil
  }
}
