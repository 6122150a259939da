internal import Glibc

/// A system call about a process that failed.
package struct ProcessError: Error, CustomStringConvertible {
  /// What was tried, with the name of the program or file.
  package let action: String
  package let errorNumber: Int32

  init(_ action: String, _ errorNumber: Int32 = errno) {
    self.action = action
    self.errorNumber = errorNumber
  }

  package var description: String {
    guard let text = unsafe strerror(errorNumber) else { return "\(action): error \(errorNumber)" }
    return unsafe "\(action): \(String(cString: text))"
  }
}
