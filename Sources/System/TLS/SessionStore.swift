import COpenSSL
import Synchronization

/// The latest session of a client's context, with which the next connection to the same name leaves out half of its
/// handshake. May be used by connections of several threads.
final class SessionStore: Sendable {
  // The pointer stands for one reference of OpenSSL's, whose counts are atomic.
  @safe
  private struct Kept: @unchecked Sendable {
    let session: OpaquePointer
    // Resuming checks no certificate again, so a session is good for the name that was checked only.
    let serverName: String
  }

  private let kept = Mutex<Kept?>(nil)

  deinit {
    if let kept = kept.withLock({ $0 }) { unsafe SSL_SESSION_free(kept.session) }
  }

  /// Takes over one reference to `session`.
  func keep(_ session: OpaquePointer, for serverName: String) {
    let old = kept.withLock { kept in
      defer { unsafe kept = Kept(session: session, serverName: serverName) }
      return kept
    }
    if let old { unsafe SSL_SESSION_free(old.session) }
  }

  /// Has `ssl`, whose handshake has not begun, offer the session, if there is one for the name.
  func offer(on ssl: OpaquePointer, for serverName: String) {
    kept.withLock { kept in
      guard let kept, kept.serverName == serverName, unsafe SSL_SESSION_is_resumable(kept.session) == 1 else { return }
      unsafe SSL_set_session(ssl, kept.session)
    }
  }
}
