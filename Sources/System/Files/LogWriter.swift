import Glibc
import Synchronization

/// Writes lines to a descriptor from a thread of its own, so that a slow reader of the log never holds up a loop.
///
/// What it may hold is bounded; lines that find no room are dropped and counted. Safe to use from any thread.
package final class LogWriter: Sendable {
  private struct State {
    var pending: [UInt8] = []
    /// Bytes that are being written.
    var inWriting = 0
    var held: Int { pending.count + inWriting }
    var counts = Counts()
    var isClosed = false
  }

  /// What became of the lines so far.
  package struct Counts: Sendable {
    /// Lines that were taken, by level as `LogLevel` numbers them.
    package var taken = SIMD4<Int>.zero
    /// Lines for which there was no room.
    package var dropped = 0
  }

  private let state = Mutex(State())
  /// Whether each line begins with its priority, as systemd's journal reads it (sd-daemon(3)).
  package let isForJournal: Bool
  /// A byte in this pipe says that there is something to write.
  private let wakeReader: Int32
  private let wakeWriter: Int32
  private let output: Int32
  private let capacity: Int
  /// Bytes of a buffer that is kept for the next lines.
  private static let keptCapacity = 64 << 10

  /// - Parameters:
  ///   - descriptor: written to, never closed.
  ///   - capacity: bytes held at most.
  package init(descriptor: Int32, capacity: Int = 4 << 20, isForJournal: Bool = false) {
    output = descriptor
    self.isForJournal = isForJournal
    self.capacity = capacity
    var ends: [Int32] = [-1, -1]
    let status = unsafe ends.withUnsafeMutableBufferPointer { unsafe pipe($0.baseAddress) }
    precondition(status == 0, "no descriptor is left for the log")
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    (wakeReader, wakeWriter) = (ends[0], ends[1])
    start()
  }

  deinit {
    Glibc.close(wakeReader)
    Glibc.close(wakeWriter)
  }

  /// Takes whole lines.
  ///
  /// - Parameter counts: how many lines there are of each level.
  package func append(_ lines: Span<UInt8>, counts: SIMD4<Int>) {
    let wasEmpty = state.withLock { state in
      guard state.held + lines.count <= capacity else {
        state.counts.dropped &+= counts.wrappedSum()
        return false
      }
      state.counts.taken &+= counts
      let wasEmpty = state.held == 0
      unsafe lines.withUnsafeBufferPointer { unsafe state.pending.append(contentsOf: $0) }
      return wasEmpty
    }
    if wasEmpty { signal() }
  }

  package var counts: Counts { state.withLock { $0.counts } }

  /// Whether there is room again for more than a few lines.
  package var hasRoom: Bool { state.withLock { $0.held <= capacity / 2 } }

  /// Waits until everything taken so far is written, at most `milliseconds`, and ends the thread.
  package func close(waitingAtMost milliseconds: Int = 1000) {
    state.withLock { $0.isClosed = true }
    signal()
    for _ in 0..<max(1, milliseconds / 5) {
      if state.withLock({ $0.held == 0 }) { return }
      usleep(5000)
    }
  }

  private func signal() {
    var byte: UInt8 = 1
    _ = unsafe Glibc.write(wakeWriter, &byte, 1)
  }

  private func start() {
    let retained = unsafe Unmanaged.passRetained(self)
    var thread = pthread_t()
    let status = unsafe pthread_create(
      &thread, nil,
      { argument in
        guard let argument = unsafe argument else { return nil }
        unsafe Unmanaged<LogWriter>.fromOpaque(argument).takeRetainedValue().run()
        return nil
      }, retained.toOpaque())
    precondition(status == 0, "no thread can be started for the log")
    pthread_detach(thread)
  }

  private func run() {
    var batch: [UInt8] = []
    while true {
      var byte: UInt8 = 0
      _ = unsafe Glibc.read(wakeReader, &byte, 1)
      // The two buffers change places, so that nothing is copied while a loop waits. A large one does not stay.
      batch.removeAll(keepingCapacity: batch.capacity <= Self.keptCapacity)
      let isClosed = state.withLock { state in
        swap(&batch, &state.pending)
        state.inWriting = batch.count
        return state.isClosed
      }
      writeAll(batch)
      let isEmpty = state.withLock { state in
        state.inWriting = 0
        return state.pending.isEmpty
      }
      if isClosed, isEmpty { return }
      if !isEmpty { signal() }
    }
  }

  private func writeAll(_ bytes: [UInt8]) {
    var written = 0
    while written < bytes.count {
      let count = unsafe bytes.withUnsafeBytes {
        unsafe Glibc.write(output, $0.baseAddress.unsafelyUnwrapped + written, bytes.count - written)
      }
      if count > 0 {
        written += count
      } else if errno == EAGAIN {
        var waiting = pollfd(fd: output, events: Int16(POLLOUT), revents: 0)
        _ = unsafe poll(&waiting, 1, 100)
      } else if errno != EINTR {
        // Nobody reads the log any more; there is nowhere to say so.
        return
      }
    }
  }
}
