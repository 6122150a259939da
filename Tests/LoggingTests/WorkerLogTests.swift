import Files
import Glibc
import Logging
import RunningGateway
import Telemetry
import Testing
import Time

@Suite struct `The log of one loop` {
  private static let noon = WallTime(milliseconds: 1_800_000_000_000)

  /// What is in the log after `body`.
  private static func text(
    level: LogLevel = .info, isForJournal: Bool = false, _ body: (WorkerLog) -> Void
  ) throws -> [String] {
    let files = try ScratchDirectory()
    let writer = LogWriter(descriptor: open(files["log"], O_WRONLY | O_CREAT, 0o644), isForJournal: isForJournal)
    let log = WorkerLog(writer: writer, level: level)
    body(log)
    log.flush()
    writer.close()
    return (files.text("log") ?? "").split(separator: "\n").map(String.init)
  }

  @Test func `a line has its time, its level, its event and its fields`() throws {
    let lines = try Self.text { log in
      log.write(.error, .redisLost, at: Self.noon) { line in
        line.field("worker", 1)
        line.field("reason", "refused")
      }
      log.write(.info, .stopped, at: Self.noon) { _ in }
    }
    let time = #"{"time":"2027-01-15T08:00:00.000Z","level":"#
    #expect(
      lines == [
        time + #""error","event":"redis_lost","worker":1,"reason":"refused"}"#,
        time + #""info","event":"stopped"}"#,
      ])
  }

  @Test func `lines below the level are left out, and their time is not even asked for`() throws {
    var asked = 0
    func time() -> WallTime {
      asked += 1
      return Self.noon
    }
    let lines = try Self.text(level: .error) { log in
      log.write(.info, .stopped, at: time()) { _ in }
      log.write(.error, .redisLost, at: time()) { $0.field("worker", 0) }
    }
    #expect(lines.count == 1 && asked == 1)
  }

  @Test func `in the journal each line begins with its priority`() throws {
    let lines = try Self.text(isForJournal: true) { log in
      log.write(.info, .stopped, at: Self.noon) { _ in }
      log.write(.warning, .fewDescriptors, at: Self.noon) { $0.field("reason", "few") }
    }
    #expect(lines.map { $0.prefix(11) } == [#"<6>{"time":"#, #"<4>{"time":"#])
  }

  #if DEBUG
    @Test func `a field that the form does not name stops a debug build`() async {
      await #expect(processExitsWith: .failure) {
        _ = try Self.text { log in log.write(.info, .stopped, at: Self.noon) { $0.field("worker", 1) } }
      }
    }

    @Test func `so do a level that the form does not name, and fields in another order`() async {
      await #expect(processExitsWith: .failure) {
        _ = try Self.text { log in log.write(.error, .stopped, at: Self.noon) { _ in } }
      }
      await #expect(processExitsWith: .failure) {
        _ = try Self.text { log in
          log.write(.error, .redisLost, at: Self.noon) { line in
            line.field("reason", "refused")
            line.field("worker", 1)
          }
        }
      }
    }
  #endif
}
