/// Why a peer has ended TLS, as it says itself: the description of a fatal alert (RFC 8446, section 6.2).
///
/// Any number may come; those that nobody decides by have no name here.
package struct TLSAlert: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  package let rawValue: UInt8

  package init(rawValue: UInt8) { self.rawValue = rawValue }

  package static let handshakeFailure = TLSAlert(rawValue: 40)
  package static let noCertificate = TLSAlert(rawValue: 41)
  package static let badCertificate = TLSAlert(rawValue: 42)
  package static let unsupportedCertificate = TLSAlert(rawValue: 43)
  package static let certificateRevoked = TLSAlert(rawValue: 44)
  package static let certificateExpired = TLSAlert(rawValue: 45)
  package static let certificateUnknown = TLSAlert(rawValue: 46)
  package static let unknownCA = TLSAlert(rawValue: 48)
  package static let accessDenied = TLSAlert(rawValue: 49)
  package static let decryptError = TLSAlert(rawValue: 51)
  package static let internalError = TLSAlert(rawValue: 80)
  package static let unknownPSKIdentity = TLSAlert(rawValue: 115)
  package static let certificateRequired = TLSAlert(rawValue: 116)

  /// Whether the peer refuses what it was shown in the handshake. In TLS 1.3 it may say so only after the first request
  /// was sent, which it then has not looked at. After any other alert that is not known.
  package var refusesIdentity: Bool {
    switch self {
    case .handshakeFailure, .noCertificate, .badCertificate, .unsupportedCertificate, .certificateRevoked,
      .certificateExpired, .certificateUnknown, .unknownCA, .accessDenied, .decryptError, .unknownPSKIdentity,
      .certificateRequired:
      true
    default: false
    }
  }

  /// The number, and the name that the RFC gives it if it is one of those above.
  package var description: String {
    guard let name else { return "alert \(rawValue)" }
    return "alert \(rawValue), \(name)"
  }

  private var name: String? {
    switch self {
    case .handshakeFailure: "handshake_failure"
    case .noCertificate: "no_certificate"
    case .badCertificate: "bad_certificate"
    case .unsupportedCertificate: "unsupported_certificate"
    case .certificateRevoked: "certificate_revoked"
    case .certificateExpired: "certificate_expired"
    case .certificateUnknown: "certificate_unknown"
    case .unknownCA: "unknown_ca"
    case .accessDenied: "access_denied"
    case .decryptError: "decrypt_error"
    case .internalError: "internal_error"
    case .unknownPSKIdentity: "unknown_psk_identity"
    case .certificateRequired: "certificate_required"
    default: nil
    }
  }
}
