import COpenSSL

/// Which OpenSSL the program runs on.
package enum TLSRelease {
  /// Its version as it runs, not as it was compiled against: `3.0.17`.
  package static var installed: String {
    unsafe String(cString: OpenSSL_version(OPENSSL_VERSION_STRING))
  }
}
