/// How a reader is served.
package enum Mode: String, CaseIterable, Sendable {
  /// The backend's bytes, untouched.
  case legacy
  /// For clients that hang up at the first completion event: it is held back until the backend has ended.
  case shield
  /// Whole events, then `stream_end`, then a measured close.
  case graceful

  /// The mode of a client, from what it can do and what the flag gives it.
  package static func decide(understandsStreamEnd: Bool, variant: Mode) -> Mode {
    switch (variant, understandsStreamEnd) {
    case (.legacy, _): .legacy
    case (.graceful, true), (.shield, true): .graceful
    case (.graceful, false): .legacy
    case (.shield, false): .shield
    }
  }
}
