import CLibevent
import Glibc

/// Signals that a server acts upon.
package enum ProcessSignal: Sendable {
  case terminate, interrupt, hangUp

  var number: Int32 {
    switch self {
    case .terminate: SIGTERM
    case .interrupt: SIGINT
    case .hangUp: SIGHUP
    }
  }
}

/// Calls a handler on the loop when the process gets a signal. libevent lets one loop of a process do so at a time.
///
/// A signal that was watched once never ends the process again: who has stopped watching is about to end, and has its
/// last words to write.
@safe
package final class SignalWatch {
  private let loop: EventLoop
  private let handler: () -> Void
  private var event: RawEvent?

  package init(loop: EventLoop, signal: ProcessSignal, handler: @escaping () -> Void) throws(LoopError) {
    self.loop = loop
    self.handler = handler
    // What libevent puts back when the watch is over.
    _ = Glibc.signal(signal.number) { _ in }
    let context = unsafe Unmanaged.passUnretained(self).toOpaque()
    event = unsafe RawEvent(
      base: loop.base, descriptor: signal.number, flags: EV_SIGNAL | EV_PERSIST, context: context
    ) { _, _, context in
      guard let context = unsafe context else { return }
      unsafe Unmanaged<SignalWatch>.fromOpaque(context).takeUnretainedValue().handler()
    }
    guard event?.add() == true else { throw .unavailable("signal event") }
  }

  /// The handler is not called any more.
  package func cancel() {
    event = nil
  }

  /// Makes the process survive writes to closed pipes; sockets pass MSG_NOSIGNAL anyway.
  package static func ignoreBrokenPipes() {
    _ = Glibc.signal(SIGPIPE, SIG_IGN)
  }
}
