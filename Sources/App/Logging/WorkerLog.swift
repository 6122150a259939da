import Bytes
package import Files
package import Telemetry
package import Time

/// The log lines of one loop: gathered, and handed over once per tick or when enough have come together.
package final class WorkerLog {
  private let writer: LogWriter
  /// Bytes that are handed over before the next tick does it: each time wakes the writing thread.
  private static let batch = 128 << 10
  private var pending = ByteBuffer()
  private var pendingCounts = SIMD4<Int>.zero
  /// How the last line began: under load many share the millisecond and the level.
  private var head = ByteBuffer()
  private var headTime = WallTime(milliseconds: .min)
  private var headLevel = LogLevel.info
  package var level: LogLevel
  /// How many lines of each event were held against its form.
  private var checked: [LogEvent: Int] = [:]
  /// So many of each are; those of a flood would hold up all else.
  private static let checks = 200
  /// How often an open stream leaves a line; zero for never.
  package var progress = Nanoseconds.zero

  package init(writer: LogWriter, level: LogLevel) {
    self.writer = writer
    self.level = level
  }

  /// Writes one line if `level` is wanted. Debug builds stop where one of the first lines of an event is not as its form
  /// says.
  package func write(
    _ lineLevel: LogLevel, _ event: LogEvent, at time: @autoclosure () -> WallTime,
    _ fields: (inout LogLine) -> Void
  ) {
    guard lineLevel >= level else { return }
    let now = time()
    if now != headTime || lineLevel != headLevel {
      (headTime, headLevel) = (now, lineLevel)
      head.removeAll()
      if writer.isForJournal { head.append(lineLevel.journalPrefix) }
      LogLine.writeHead(lineLevel, at: now, to: &head)
    }
    // The line is written behind those that wait; nothing is copied.
    var gathered = ByteBuffer()
    swap(&gathered, &pending)
    let start = gathered.count
    let form = event.form
    var line = LogLine(form.name, head: head, in: gathered)
    fields(&line)
    pending = line.finish()
    assert(isInForm(event, from: start, lineLevel), "a line of \(event) is not as its form says")
    pendingCounts[lineLevel.rawValue] &+= 1
    if pending.count > Self.batch { flush() }
  }

  private func isInForm(_ event: LogEvent, from start: Int, _ lineLevel: LogLevel) -> Bool {
    let count = checked[event, default: 0]
    guard count < Self.checks else { return true }
    checked[event] = count + 1
    return event.form.fits(pending, from: start, lineLevel)
  }

  package func flush() {
    guard !pending.isEmpty else { return }
    pending.withSpan { writer.append($0, counts: pendingCounts) }
    pending.removeAll()
    pendingCounts = .zero
  }
}

extension LogLevel {
  /// The priority of syslog in front of a line (sd-daemon(3)).
  fileprivate var journalPrefix: StaticString {
    switch self {
    case .debug: "<7>"
    case .info: "<6>"
    case .warning: "<4>"
    case .error: "<3>"
    }
  }
}
