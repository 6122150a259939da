import Bytes
import Files
import Telemetry
import Time

/// The log lines of one loop: gathered, and handed over once per tick or when enough have come together.
final class WorkerLog {
  private let writer: LogWriter
  /// Bytes that are handed over before the next tick does it: each time wakes the writing thread.
  private static let batch = 128 << 10
  private var pending = ByteBuffer()
  /// The time of the last line, written out: under load many lines share a millisecond.
  private var stamp = ByteBuffer()
  private var stampedAt = WallTime(milliseconds: .min)
  var level: LogLevel

  init(writer: LogWriter, level: LogLevel) {
    self.writer = writer
    self.level = level
  }

  /// Writes one line if `level` is wanted.
  func write(
    _ lineLevel: LogLevel, _ event: StaticString, at time: @autoclosure () -> WallTime,
    _ fields: (inout LogLine) -> Void
  ) {
    guard lineLevel >= level else { return }
    let now = time()
    if now != stampedAt {
      stampedAt = now
      stamp.removeAll()
      stamp.append(timestamp: now)
    }
    // The line is written behind those that wait; nothing is copied.
    var gathered = ByteBuffer()
    swap(&gathered, &pending)
    var line = LogLine(lineLevel, event, stamp: stamp, in: gathered)
    fields(&line)
    pending = line.finish()
    if pending.count > Self.batch { flush() }
  }

  func flush() {
    guard !pending.isEmpty else { return }
    pending.withSpan { writer.append($0) }
    pending.removeAll()
  }
}
