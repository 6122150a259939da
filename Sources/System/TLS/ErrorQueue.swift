import COpenSSL
import Loop
import Sockets

/// OpenSSL's queue of errors, one for each thread. Whoever meets a failure empties it.
enum ErrorQueue {
  /// Drops what is left of earlier calls: `SSL_get_error` would take it for the next call's.
  static func clear() {
    ERR_clear_error()
  }

  /// The number of the first error, which is the cause of those behind it, or 0. Leaves the queue empty.
  static func takeCode() -> UInt {
    let code = ERR_get_error()
    ERR_clear_error()
    return code
  }

  /// The cause in OpenSSL's words. Leaves the queue empty.
  static func takeReason() -> String {
    reason(takeCode())
  }

  /// The alert with which the peer has ended the connection, if `code` tells of one.
  static func alert(_ code: UInt) -> TLSAlert? {
    guard code & fermata_tls_system_error == 0, ERR_GET_LIB(code) == ERR_LIB_SSL else { return nil }
    let number = ERR_GET_REASON(code) - SSL_AD_REASON_OFFSET
    return UInt8(exactly: number).map { TLSAlert(rawValue: $0) }
  }

  /// Whether a client has sent a request of plain HTTP where its handshake was awaited.
  static func isPlainRequest(_ code: UInt) -> Bool {
    code & fermata_tls_system_error == 0 && ERR_GET_LIB(code) == ERR_LIB_SSL
      && ERR_GET_REASON(code) == SSL_R_HTTP_REQUEST
  }

  static func reason(_ code: UInt) -> String {
    if code & fermata_tls_system_error != 0 {
      return SystemError(code: Int32(truncatingIfNeeded: code & ~fermata_tls_system_error)).description
    }
    guard code != 0, let text = unsafe ERR_reason_error_string(code) else { return "unknown reason (\(code))" }
    return unsafe String(cString: text)
  }
}
