package import Configuration
package import Files
import Flags
package import Logging
package import Loop
import Streams
import Telemetry
package import Time

/// The flag file as it is read at run time: watched, read whole, checked strictly; what is wrong never takes effect.
///
/// Lives on the main loop; `onChange` hands each accepted snapshot on.
package final class FlagStore {
  package struct LoadError: Error, CustomStringConvertible {
    package let description: String
  }

  package private(set) var current: FlagSnapshot
  /// What is wrong with the file as it is now; `nil` when `current` is what it says.
  package private(set) var fault: String?
  /// Since when the file is not what is in force.
  package private(set) var staleSince: WallTime?
  package private(set) var loads = 0
  package private(set) var failures = 0
  package var onChange: (FlagSnapshot) -> Void = { _ in }

  package let path: String?
  private let loop: EventLoop
  private let log: WorkerLog
  private var watch: DirectoryWatch?
  private var debounce: Timer?
  private var poll: Timer?
  private var identity: FileStat?
  /// Whether the file could not be read for a reason that may pass: it is tried again, though it does not change.
  private var isUnread = false
  private var lastBadHash: String?
  private let reserve: DescriptorReserve

  /// Long enough for a writer to finish, short enough that nobody waits.
  private static let debounceTime = Nanoseconds.milliseconds(30)
  /// For file systems that tell nothing of changes.
  private static let pollInterval = Nanoseconds.seconds(2)
  /// Until a file is tried again that could not be read just now.
  private static let retryInterval = Nanoseconds.milliseconds(200)

  package init(
    settings: FlagSettings, loop: EventLoop, log: WorkerLog, reserve: DescriptorReserve
  ) throws(LoadError) {
    self.loop = loop
    self.log = log
    self.reserve = reserve
    path = settings.file
    current = FlagSnapshot(.withoutFile(giving: settings.defaultVariant.rawValue), loadedAt: loop.wallTime())
    guard let path else { return }
    reload()
    if let fault, !settings.startsWithoutFile {
      throw LoadError(description: FlagSnapshot.fault(of: settings) ?? FlagSnapshot.describe(fault))
    }
    startWatching(path)
  }

  private func startWatching(_ path: String) {
    debounce = Timer(loop: loop) { [unowned self] in reload() }
    let directory = FilePath.directory(of: path)
    watch = try? DirectoryWatch(loop: loop, directory: directory) { [unowned self] _ in
      // Names don't matter: in a Kubernetes volume it is `..data` that changes.
      if debounce?.isScheduled == false { debounce?.schedule(after: Self.debounceTime) }
    }
    poll = Timer(loop: loop) { [unowned self] in
      if isUnread || (try? FileStat(path)) != identity { reload() }
      poll?.schedule(after: isUnread ? Self.retryInterval : Self.pollInterval)
    }
    poll?.schedule(after: isUnread ? Self.retryInterval : Self.pollInterval)
  }

  /// Reads the file if it may have changed.
  package func reload() {
    guard let path else { return }
    identity = try? FileStat(path)
    isUnread = false
    do {
      let bytes = try reserve.lend { try readFile(path, limit: FlagSnapshot.fileLimit).bytes }
      let hash = SHA256.hexadecimal(bytes)
      if hash == current.flagSet.hash { return accepted() }
      let set = try FlagSet(parsing: bytes, requiring: [.streamClosing])
      current = FlagSnapshot(set, loadedAt: loop.wallTime())
      loads += 1
      accepted()
      log.write(.info, .flagsLoaded, at: loop.wallTime()) { line in
        line.field("version", current.version)
        line.field("hash", set.hash)
        line.field("warnings", set.warnings.count)
      }
      onChange(current)
    } catch let error as FlagFileError {
      refused(error.first.description, identity: "\(error)")
    } catch {
      if let error = error as? FileError, error.mayPass { readLater() }
      refused("\(error)", identity: "\(error)")
    }
  }

  private func readLater() {
    isUnread = true
    poll?.schedule(after: Self.retryInterval)
  }

  private func accepted() {
    fault = nil
    staleSince = nil
    lastBadHash = nil
  }

  /// Keeps the last good flags; one log line for each new fault.
  private func refused(_ reason: String, identity: String) {
    fault = reason
    if staleSince == nil { staleSince = loop.wallTime() }
    guard lastBadHash != identity else { return }
    lastBadHash = identity
    failures += 1
    log.write(.error, .flagsRefused, at: loop.wallTime()) { line in
      line.field("file", path ?? "")
      line.field("reason", reason)
      line.field("inForce", current.version)
    }
  }
}
