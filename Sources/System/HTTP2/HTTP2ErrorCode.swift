/// Why a stream or a connection ended (RFC 9113, 7). Peers may use codes that nobody knows.
package struct HTTP2ErrorCode: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  package let rawValue: UInt32

  package init(rawValue: UInt32) {
    self.rawValue = rawValue
  }

  package static let noError = Self(rawValue: 0)
  package static let protocolError = Self(rawValue: 1)
  /// The only code that every client shows as a failure.
  package static let internalError = Self(rawValue: 2)
  package static let flowControlError = Self(rawValue: 3)
  package static let settingsTimeout = Self(rawValue: 4)
  package static let streamClosed = Self(rawValue: 5)
  package static let frameSizeError = Self(rawValue: 6)
  package static let refusedStream = Self(rawValue: 7)
  package static let cancel = Self(rawValue: 8)
  package static let compressionError = Self(rawValue: 9)
  package static let connectError = Self(rawValue: 10)
  package static let enhanceYourCalm = Self(rawValue: 11)
  package static let inadequateSecurity = Self(rawValue: 12)
  package static let http11Required = Self(rawValue: 13)

  private static let names = [
    "no_error", "protocol_error", "internal_error", "flow_control_error", "settings_timeout", "stream_closed",
    "frame_size_error", "refused_stream", "cancel", "compression_error", "connect_error", "enhance_your_calm",
    "inadequate_security", "http_1_1_required",
  ]

  /// A stable word for logs and metric labels, in snake case.
  package var description: String {
    rawValue < UInt32(Self.names.count) ? Self.names[Int(rawValue)] : "unknown_error"
  }
}

/// Why a session can't go on. Nothing more can be written: the connection must be closed.
package enum HTTP2SessionError: Error, Equatable, Sendable, CustomStringConvertible {
  /// What came first was not the client's connection preface (RFC 9113, 3.4).
  case badPreface
  /// The peer makes answers due faster than it takes them, or sends header blocks without end.
  case flooded
  case outOfMemory
  /// The library's own word for anything else.
  case library(String)

  package var description: String {
    switch self {
    case .badPreface: "the connection does not begin with the preface of HTTP/2"
    case .flooded: "the peer sends more control frames than it reads answers to"
    case .outOfMemory: "out of memory"
    case .library(let text): "nghttp2: \(text)"
    }
  }
}
