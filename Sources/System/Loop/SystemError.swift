import Glibc

/// What a system call said when it failed: an error number with its text.
package struct SystemError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The kernel's number (`ECONNRESET`, …).
  package let code: Int32

  package init(code: Int32) {
    self.code = code
  }

  /// The error of the system call that has just failed on this thread.
  package static var last: SystemError { SystemError(code: errno) }

  /// Nothing to read or no room to write: a value, not a failure.
  package var isWouldBlock: Bool { code == EAGAIN || code == EWOULDBLOCK }
  package var isInterrupted: Bool { code == EINTR }
  /// The process (EMFILE) or the machine (ENFILE) has no descriptor left, or no memory for one.
  package var isOutOfDescriptors: Bool { code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM }

  package var description: String {
    unsafe withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
      // The thread-safe form; Swift's importer sees the POSIX one, which always fills the buffer.
      guard let text = buffer.baseAddress, unsafe strerror_r(code, text, buffer.count) == 0 else {
        return "error \(code)"
      }
      return unsafe String(cString: text)
    }
  }
}

/// Why an event loop or one of its parts could not be made.
package enum LoopError: Error, Sendable, CustomStringConvertible {
  /// libevent gave no base, event or DNS resolver: memory or descriptors ran out.
  case unavailable(String)
  case system(String, SystemError)

  package var description: String {
    switch self {
    case .unavailable(let what): "event loop: \(what) is not available"
    case .system(let call, let error): "event loop: \(call): \(error)"
    }
  }
}
