package import Files
import JSON
package import Logging
package import Loop
import Processes
package import Streams
import Telemetry
package import Time

/// Keeps the census of all workers over the last days, and over restarts in a file beside the guard's.
///
/// Lives on the main loop.
package final class CensusKeeper {
  package private(set) var census = Census()
  package private(set) var series = ClientSeries()
  /// Of the hashes of identities. Kept with the census: the same client must count once before and after a restart.
  package let seed: UInt64

  private let file: String?
  private let loop: EventLoop
  private let log: WorkerLog
  private let reserve: DescriptorReserve
  private var savedAt: MonotonicTime
  private var isSaved = true
  private var isFaultKnown = false
  private var isResting = false

  /// How often workers are asked, and how often the file is written at most.
  package static let gatherInterval = Nanoseconds.seconds(10)
  private static let saveInterval = Nanoseconds.seconds(60)
  private static let fileLimit = 8 << 20

  /// - Parameter guardState: the guard's file; `nil` where nothing can be kept.
  package init(beside guardState: String?, loop: EventLoop, log: WorkerLog, reserve: DescriptorReserve) {
    self.loop = loop
    self.log = log
    self.reserve = reserve
    file = guardState.map { $0 + ".clients" }
    savedAt = loop.readClock()
    guard let file, let saved = Self.read(file, log, loop), let seed = saved["seed"]?.string.flatMap({ UInt64($0) })
    else {
      seed = Host.randomWords(1)[0]
      return
    }
    self.seed = seed
    census = Census(restoring: saved["census"] ?? .null, at: loop.wallTime())
  }

  private static func read(_ file: String, _ log: WorkerLog, _ loop: EventLoop) -> JSONValue? {
    do {
      return try JSONValue(parsing: try readFile(file, limit: fileLimit).bytes)
    } catch FileError.notFound {
      return nil
    } catch {
      log.write(.warning, .clientsNotRestored, at: loop.wallTime()) { line in
        line.field("file", file)
        line.field("reason", "\(error)")
      }
      return nil
    }
  }

  /// Takes in what workers have counted since they were last asked.
  package func take(_ parts: [Census]) {
    census.forget(at: loop.wallTime())
    for part in parts where !part.isEmpty {
      census.add(part)
      series.count(part, of: census)
      isSaved = false
    }
  }

  package func saveRegularly() {
    if loop.readClock() - savedAt >= Self.saveInterval { save() }
  }

  /// Saves a last time: the file may be another process's from now on.
  package func rest() {
    save()
    isResting = true
  }

  private func save() {
    savedAt = loop.readClock()
    guard let file, !isSaved, !isResting else { return }
    let document: JSONValue = ["seed": .string(String(seed)), "census": census.json]
    do throws(FileError) {
      try reserve.lend { () throws(FileError) in
        try AtomicFile.replace(file, with: document.serialized(.compact))
      }
      isSaved = true
      isFaultKnown = false
    } catch {
      // Tried again in a minute; told once.
      guard !isFaultKnown else { return }
      isFaultKnown = true
      log.write(.error, .clientsNotSaved, at: loop.wallTime()) { line in
        line.field("file", file)
        line.field("reason", "\(error)")
      }
    }
  }
}
