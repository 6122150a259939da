import COpenSSL
import Synchronization

/// The keys with which session tickets are encrypted (RFC 5077, section 4), shared by everything that may be handed a
/// ticket of another: the loops of a process, and contexts from before and after a reload.
///
/// May be used by all threads.
package final class TicketKeys: Sendable {
  private struct Key {
    let name: [UInt8]
    let cipher: [UInt8]
    let code: [UInt8]

    init() {
      var bytes = [UInt8](repeating: 0, count: 80)
      _ = unsafe RAND_bytes(&bytes, Int32(bytes.count))
      name = Array(bytes[..<16])
      cipher = Array(bytes[16..<48])
      code = Array(bytes[48...])
    }
  }

  private struct State {
    var current = Key()
    /// Tickets of the time before the last rotation are still taken.
    var previous: Key?
  }

  private let state = Mutex(State())

  package init() {}

  /// Makes a new key for the tickets to come; those of the last key are taken on, older ones are not.
  package func rotate() {
    state.withLock { state in
      state.previous = state.current
      state.current = Key()
    }
  }

  /// Prepares the encryption of a new ticket. Returns OpenSSL's answer: 1, or -1 for a failure.
  @unsafe
  func seal(
    _ name: UnsafeMutablePointer<UInt8>, _ vector: UnsafeMutablePointer<UInt8>, _ cipher: OpaquePointer?,
    _ code: OpaquePointer?
  ) -> Int32 {
    let key = state.withLock { $0.current }
    for index in key.name.indices { unsafe name[index] = key.name[index] }
    guard unsafe RAND_bytes(vector, 16) == 1,
      unsafe EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), nil, key.cipher, vector) == 1
    else { return -1 }
    return unsafe Self.authenticate(code, with: key) ? 1 : -1
  }

  /// Prepares the decryption of a ticket. Returns OpenSSL's answer: 0 for one whose key is gone, 2 for one that is to be
  /// replaced.
  ///
  /// - Parameter isSpent: whether a client uses the ticket this once, as those of TLS 1.3 do (RFC 8446, C.4): without a new
  ///   one its next connection would begin a session anew.
  @unsafe
  func open(
    _ name: UnsafeMutablePointer<UInt8>, _ vector: UnsafeMutablePointer<UInt8>, _ cipher: OpaquePointer?,
    _ code: OpaquePointer?, isSpent: Bool
  ) -> Int32 {
    let wanted = unsafe Array(UnsafeBufferPointer(start: name, count: 16))
    let (current, previous) = state.withLock { ($0.current, $0.previous) }
    guard let key = [current, previous].compactMap({ $0 }).first(where: { $0.name == wanted }) else { return 0 }
    guard unsafe EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), nil, key.cipher, vector) == 1,
      unsafe Self.authenticate(code, with: key)
    else { return -1 }
    return key.name == current.name && !isSpent ? 1 : 2
  }

  @unsafe
  private static func authenticate(_ code: OpaquePointer?, with key: Key) -> Bool {
    var bytes = key.code
    var digest = Array("SHA256\0".utf8CString)
    return unsafe bytes.withUnsafeMutableBytes { bytes in
      unsafe digest.withUnsafeMutableBufferPointer { digest in
        let parameters = unsafe [
          OSSL_PARAM_construct_octet_string(Self.text("key"), bytes.baseAddress, bytes.count),
          OSSL_PARAM_construct_utf8_string(Self.text("digest"), digest.baseAddress, 0), OSSL_PARAM_construct_end(),
        ]
        return unsafe EVP_MAC_CTX_set_params(code, parameters) == 1
      }
    }
  }

  /// A parameter keeps the pointer to its name, so the name must last.
  @unsafe
  private static func text(_ name: StaticString) -> UnsafePointer<CChar> {
    unsafe UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self)
  }
}
