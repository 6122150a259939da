import CLibevent
import Glibc

/// Who is told that a descriptor is ready. Called on the loop's thread.
package protocol SocketWatchHandler: AnyObject {
  func socketBecameReadable()
  func socketBecameWritable()
}

/// Read and write interest in one descriptor: level-triggered, persistent, so that nothing is re-armed per event.
///
/// Doesn't own the descriptor: `cancel()` before closing it. The handler is not retained and must outlive the watch (it
/// usually owns it). Everything may be called, and the watch let go, inside its own callbacks.
@safe
package final class SocketWatch {
  private let loop: EventLoop
  // Checked references cost on every event; the contract above makes this one safe.
  private unowned(unsafe) let handler: any SocketWatchHandler
  package let descriptor: Int32
  private var readEvent: RawEvent?
  // Made when a write first has to wait: most sockets never have one.
  private var writeEvent: RawEvent?
  package private(set) var isReading = false
  package private(set) var isWriting = false
  private var isEdgeTriggered = false
  private var isCancelled = false

  package init(loop: EventLoop, descriptor: Int32, handler: any SocketWatchHandler) {
    self.loop = loop
    self.descriptor = descriptor
    unsafe self.handler = handler
  }

  /// - Returns: `false` when the kernel refuses one more watch.
  package func startReading() -> Bool {
    guard !isReading, !isCancelled else { return !isCancelled }
    if readEvent == nil { readEvent = unsafe makeEvent(EV_READ) }
    isReading = readEvent?.add() ?? false
    return isReading
  }

  package func stopReading() {
    guard isReading else { return }
    isReading = false
    readEvent?.delete()
  }

  /// - Returns: `false` when the kernel refuses one more watch.
  package func startWriting() -> Bool {
    guard !isWriting, !isCancelled else { return !isCancelled }
    if writeEvent == nil { writeEvent = unsafe makeEvent(EV_WRITE) }
    isWriting = writeEvent?.add() ?? false
    return isWriting
  }

  package func stopWriting() {
    guard isWriting else { return }
    isWriting = false
    writeEvent?.delete()
  }

  /// For a peer that has half-closed: readable from now on means only that something *changed*.
  ///
  /// A level-triggered watch would spin on the end of input for ever, none would miss a later reset. libevent wants all
  /// events of a descriptor to agree on edges, so both are made again; a write that waits keeps waiting. There may be
  /// one call of `socketBecameReadable` at once.
  /// - Returns: `false` when the kernel refuses the watch.
  package func watchForReset() -> Bool {
    guard !isCancelled, !isEdgeTriggered else { return !isCancelled }
    let wasWriting = isWriting
    stopReading()
    stopWriting()
    readEvent = nil
    writeEvent = nil
    isEdgeTriggered = true
    return startReading() && (!wasWriting || startWriting())
  }

  /// Ends all interest for good.
  package func cancel() {
    isCancelled = true
    isReading = false
    isWriting = false
    readEvent = nil
    writeEvent = nil
  }

  @unsafe
  private func makeEvent(_ interest: Int32) -> RawEvent? {
    let flags = interest | EV_PERSIST | (isEdgeTriggered ? EV_ET : 0)
    let context = unsafe Unmanaged.passUnretained(self).toOpaque()
    return unsafe RawEvent(base: loop.base, descriptor: descriptor, flags: flags, context: context) {
      _, what, context in
      guard let context = unsafe context else { return }
      // Retained for the call: the handler may let the watch go.
      unsafe Unmanaged<SocketWatch>.fromOpaque(context).takeUnretainedValue().fired(Int32(what))
    }
  }

  private func fired(_ what: Int32) {
    // Extended, because what the handler does may let its last owner go.
    let handler = unsafe handler
    withExtendedLifetime(handler) {
      if what & EV_READ != 0 {
        handler.socketBecameReadable()
      } else if what & EV_WRITE != 0 {
        handler.socketBecameWritable()
      }
    }
  }
}
