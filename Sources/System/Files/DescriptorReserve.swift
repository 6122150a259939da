import Glibc

/// Some open descriptors that are given up for a moment to read or write files when the process has no other left: a
/// change that puts a fault right must not fail because of it.
///
/// For one thread. Others may be quicker to take what is given up: whoever uses it tries again while it `isShort`.
package final class DescriptorReserve {
  private let count: Int
  private var held: [Int32] = []
  /// Whether there were too few descriptors to take back what was given up.
  package private(set) var isShort = false

  /// - Parameter count: descriptors that `lend` makes free.
  package init(count: Int = 8) {
    self.count = count
    fill()
  }

  deinit {
    release()
  }

  /// Does `body` with the reserve's descriptors free.
  package func lend<Result, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
    release()
    defer { fill() }
    return try body()
  }

  private func release() {
    for descriptor in held { close(descriptor) }
    held = []
  }

  private func fill() {
    isShort = false
    while held.count < count {
      let descriptor = unsafe open("/dev/null", O_RDONLY | O_CLOEXEC)
      guard descriptor >= 0 else {
        isShort = true
        return
      }
      held.append(descriptor)
    }
  }
}
