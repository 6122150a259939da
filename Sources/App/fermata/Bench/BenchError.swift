import Glibc
import Processes

/// Why a run could not be made.
struct BenchError: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) {
    self.description = description
  }

  /// As it is, but for a program that is not there.
  init(_ error: any Error) {
    guard let fault = error as? ProcessError, fault.errorNumber == ENOENT else {
      self.init("\(error)")
      return
    }
    self.init("not installed (\(fault))")
  }
}
