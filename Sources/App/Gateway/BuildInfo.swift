import Loop
import TLS

/// Which program runs, for the log and the metrics.
package struct BuildInfo: Sendable {
  package let version: String
  /// The commit that it is built from; `unknown` for a build that was not told.
  package let commit: String
  package let libevent: String
  package let openssl: String

  package init(version: String, commit: String) {
    self.version = version
    self.commit = commit
    libevent = EventLoop.libeventVersion
    openssl = TLSRelease.installed
  }
}
