import Glibc
import Synchronization

/// One value from one thread to another that waits for it: for starting threads up, never on a loop that runs.
package final class Rendezvous<Value: Sendable>: Sendable {
  private let slot = Mutex<Value?>(nil)

  package init() {}

  package func put(_ value: Value) {
    slot.withLock { $0 = value }
  }

  /// Waits until a value is put.
  package func take() -> Value {
    while true {
      if let value = slot.withLock({ $0 }) { return value }
      usleep(500)
    }
  }
}
