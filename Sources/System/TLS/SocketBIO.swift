import COpenSSL
import Glibc
import Loop

/// What OpenSSL's calls say about the socket, between the calls.
struct SocketState {
  let descriptor: Int32
  /// The socket gave less than was asked for, so it is most likely empty: asking it again would cost a call for nothing.
  var isDrained = false
  /// The peer's FIN.
  var hasEnded = false
  /// More follows at once: the kernel may wait for it.
  var hasMore = false
  /// The number of the error with which the socket failed, or 0.
  var error: Int32 = 0
  /// Where a session of this connection goes; servers have none.
  let sessions: SessionStore?
  let serverName: String
  /// Of an accepting side.
  let identities: ServerIdentities?
  /// The keys of an accepting side's tickets.
  let tickets: TicketKeys?
}

/// OpenSSL's way to a socket. Its own one writes with `write`, which raises SIGPIPE, and reads until nothing is left.
enum SocketBIO {
  // Made once, never changed, never freed.
  private nonisolated(unsafe) static let method: OpaquePointer? = unsafe makeMethod()

  /// A new BIO; `state` must outlive it.
  @unsafe
  static func make(_ state: UnsafeMutablePointer<SocketState>) -> OpaquePointer? {
    guard let method = unsafe method, let bio = unsafe BIO_new(method) else { return nil }
    unsafe BIO_set_data(bio, state)
    unsafe BIO_set_init(bio, 1)
    return unsafe bio
  }

  @unsafe
  static func state(of bio: OpaquePointer?) -> UnsafeMutablePointer<SocketState>? {
    guard let bio = unsafe bio else { return nil }
    return unsafe BIO_get_data(bio)?.assumingMemoryBound(to: SocketState.self)
  }

  @unsafe
  private static func makeMethod() -> OpaquePointer? {
    let type = BIO_get_new_index() | BIO_TYPE_SOURCE_SINK
    guard let method = unsafe BIO_meth_new(type, "socket without signals") else { return nil }
    unsafe BIO_meth_set_read(method) { bio, buffer, length in unsafe SocketBIO.read(bio, buffer, length) }
    unsafe BIO_meth_set_write(method) { bio, buffer, length in unsafe SocketBIO.write(bio, buffer, length) }
    // The end is told by the state: OpenSSL would declare the session void and try to send an alert.
    unsafe BIO_meth_set_ctrl(method) { _, command, _, _ in command == BIO_CTRL_FLUSH ? 1 : 0 }
    return unsafe method
  }

  @unsafe
  private static func read(_ bio: OpaquePointer?, _ buffer: UnsafeMutablePointer<CChar>?, _ length: Int32) -> Int32 {
    guard let state = unsafe state(of: bio) else { return -1 }
    unsafe BIO_clear_flags(bio, retryFlags | BIO_FLAGS_READ | BIO_FLAGS_WRITE)
    while unsafe !state.pointee.isDrained {
      let count = unsafe recv(state.pointee.descriptor, buffer, Int(length), 0)
      if count > 0 {
        unsafe state.pointee.isDrained = count < length
        return Int32(count)
      }
      if count == 0 {
        unsafe state.pointee.hasEnded = true
        return 0
      }
      let error = SystemError.last
      if error.isInterrupted { continue }
      guard error.isWouldBlock else {
        unsafe state.pointee.error = error.code
        return -1
      }
      unsafe state.pointee.isDrained = true
    }
    unsafe BIO_set_flags(bio, retryFlags | BIO_FLAGS_READ)
    return -1
  }

  @unsafe
  private static func write(_ bio: OpaquePointer?, _ buffer: UnsafePointer<CChar>?, _ length: Int32) -> Int32 {
    guard let state = unsafe state(of: bio) else { return -1 }
    unsafe BIO_clear_flags(bio, retryFlags | BIO_FLAGS_READ | BIO_FLAGS_WRITE)
    let flags = Int32(MSG_NOSIGNAL) | (unsafe state.pointee.hasMore ? Int32(MSG_MORE) : 0)
    while true {
      let count = unsafe send(state.pointee.descriptor, buffer, Int(length), flags)
      if count >= 0 { return Int32(count) }
      let error = SystemError.last
      if error.isInterrupted { continue }
      if error.isWouldBlock {
        unsafe BIO_set_flags(bio, retryFlags | BIO_FLAGS_WRITE)
      } else {
        unsafe state.pointee.error = error.code
      }
      return -1
    }
  }

  private static let retryFlags = BIO_FLAGS_SHOULD_RETRY
}
