import CLibevent
import Glibc

/// One `struct event` of libevent: the only place that allocates, adds, deletes and frees them.
///
/// The context pointer isn't retained. Whoever owns a `RawEvent` is its context, or outlives it.
@safe
struct RawEvent: ~Copyable {
  private let event: UnsafeMutablePointer<event>

  /// - Parameter flags: libevent's `EV_…`.
  init?(
    base: OpaquePointer, descriptor: Int32, flags: Int32, context: UnsafeMutableRawPointer,
    callback: event_callback_fn
  ) {
    guard let event = unsafe event_new(base, descriptor, Int16(truncatingIfNeeded: flags), callback, context) else {
      return nil
    }
    unsafe self.event = unsafe event
  }

  deinit {
    // Deletes first; legal inside the event's own callback.
    unsafe event_free(event)
  }

  /// Whether it worked: the kernel may refuse one more watch.
  borrowing func add() -> Bool {
    unsafe event_add(event, nil) == 0
  }

  borrowing func add(after delay: timeval) -> Bool {
    var delay = delay
    return unsafe event_add(event, &delay) == 0
  }

  borrowing func delete() {
    _ = unsafe event_del(event)
  }

  /// Runs the callback in this turn of the loop, after those that are already due, without a system call.
  borrowing func activate() {
    unsafe event_active(event, Int32(EV_TIMEOUT), 0)
  }
}
