import Configuration
import Logging
import Loop
import TLS
import Telemetry
import Time

// Certificates while it runs.
extension Gateway {
  /// Puts what is in the certificates' files in force. Connections keep what they began with.
  func rereadCertificates() {
    var configuration = settings.configuration
    do throws(TLSError) {
      try configuration.rereadCertificates()
    } catch {
      guard certificates.fault != error.description else { return }
      certificates.fault = error.description
      log.write(.error, .certificatesRefused, at: loop.wallTime()) { $0.field("reason", error.description) }
      return
    }
    certificates.fault = nil
    putInForce(configuration)
    log.write(.info, .certificatesLoaded, at: loop.wallTime()) { line in
      line.field("files", configuration.certificateFiles.joined(separator: ", "))
    }
    warnOfCertificates()
  }

  /// Logs which certificates are about to expire.
  func warnOfCertificates() {
    for warning in settings.configuration.certificateWarnings(at: loop.wallTime()) {
      log.write(.warning, .certificateExpires, at: loop.wallTime()) { $0.field("reason", warning) }
    }
  }

  /// The same now, and every day.
  func warnOfCertificatesRegularly() {
    warnOfCertificates()
    after(.seconds(86_400)) { [unowned self] in warnOfCertificatesRegularly() }
  }
}
