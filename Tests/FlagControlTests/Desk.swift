import Configuration
import Files
import FlagControl
import Flags
import Glibc
import JSON
import Logging
import Loop
import RunningGateway
import Streams
import Telemetry
import Time

/// What the keepers of flags work with: a directory, a loop with a clock of its own, and a log.
final class Desk {
  let files: ScratchDirectory
  let clock = PlayedClock()
  let loop: EventLoop
  let log: WorkerLog
  let reserve = DescriptorReserve()
  private let writer: LogWriter

  init() throws {
    files = try ScratchDirectory()
    loop = try EventLoop(clock: clock)
    writer = LogWriter(descriptor: open(files["log"], O_WRONLY | O_CREAT, 0o644))
    log = WorkerLog(writer: writer, level: .debug)
  }

  deinit { writer.close() }

  /// The configuration's part about flags, whose file is `flags`.
  ///
  /// - Parameter state: the guard's file.
  func settings(_ more: String = "", state: String = "guard") throws -> FlagSettings {
    let text = """
      {
        upstreams: { b: { url: "http://backend" } }, routes: [{ name: "chat", path: "/*", upstreams: "b" }],
        flags: { file: "\(files["flags"])", guardState: "\(files[state])", \(more) },
      }
      """
    return try Configuration(decoding: JSONValue(parsing: text, dialect: .json5)).flags
  }

  /// The events that were logged, in their order. Nothing can be logged afterwards.
  func endLog() -> [String] {
    log.flush()
    writer.close()
    return (files.text("log") ?? "").split(separator: "\n").compactMap { line in
      (try? JSONValue(parsing: String(line)))?["event"]?.string
    }
  }

  /// Lets the loop do what is due, and time pass, until something is so. The kernel tells of files in its own time.
  func turns(until isSo: () -> Bool) {
    for _ in 0..<1000 where !isSo() {
      clock.pass(.milliseconds(5))
      loop.deadlines.scan(at: loop.readClock())
      loop.turn()
      usleep(5_000)
    }
  }
}

/// A flag file that gives everybody the same.
func flagFile(_ variant: Mode, name: String = "1", state: String = "ENABLED") -> String {
  """
  {"metadata": {"version": "\(name)"}, "flags": {"stream-closing": {"state": "\(state)",
  "defaultVariant": "\(variant.rawValue)",
  "variants": {"legacy": "legacy", "shield": "shield", "graceful": "graceful"}}}}
  """
}

/// A flag file that gives a share of the clients graceful, and one that it names.
func flagFile(percent: Int, named client: String = "insider") -> String {
  """
  {"metadata": {"version": "\(percent)"}, "flags": {"stream-closing": {"state": "ENABLED", "defaultVariant": "legacy",
  "variants": {"legacy": "legacy", "shield": "shield", "graceful": "graceful"},
  "targeting": {"if": [{"==": [{"var": "targetingKey"}, "\(client)"]}, "graceful",
  {"fractional": [["graceful", \(percent)], ["legacy", \(100 - percent)]]}]}}}}
  """
}

func flagSet(_ text: String) throws -> FlagSet { try FlagSet(parsing: [UInt8](text.utf8), requiring: [.streamClosing]) }
