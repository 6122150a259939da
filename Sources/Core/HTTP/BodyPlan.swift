/// What is known of the body that follows an answer's head, in the terms of no HTTP version.
package enum BodyPlan: Sendable, Equatable {
  /// None follows, and none is declared.
  case none
  /// Exactly so many bytes.
  case length(Int)
  /// As many as come.
  case open
}

extension BodyFraming {
  /// The framing of a body that is sent to an HTTP/1 client of `version` (RFC 9112, 6.3): with chunks when its length is
  /// unknown and the client can read them, else until the close.
  package init(_ plan: BodyPlan, for version: HTTPVersion) {
    self =
      switch plan {
      case .none: .none
      case .length(let count): .length(count)
      case .open: version == .http10 ? .untilClose : .chunked
      }
  }

  /// The same body without its framing.
  package var plan: BodyPlan {
    switch self {
    case .none: .none
    case .length(let count): .length(count)
    case .chunked, .untilClose: .open
    }
  }
}
