import Files
import Loop
import Time

/// Sees when the files of certificates change, so that renewed ones are in force without a signal.
///
/// Lives on the main loop.
package final class CertificateKeeper {
  /// Why the files as they are now are not in force; `nil` when they are.
  package internal(set) var fault: String?
  private let loop: EventLoop
  private let changed: () -> Void
  private var files: [String] = []
  private var identities: [FileStat?] = []
  private var watches: [DirectoryWatch] = []
  private lazy var debounce = Timer(loop: loop) { [unowned self] in compareFiles() }
  private lazy var poll = Timer(loop: loop) { [unowned self] in pollFiles() }

  /// Long enough for a writer to finish both files, short enough that nobody waits.
  private static let debounceTime = Nanoseconds.milliseconds(30)
  /// For file systems that tell nothing of changes.
  private static let pollInterval = Nanoseconds.seconds(2)

  /// - Parameter changed: called when a file is another than before.
  init(loop: EventLoop, changed: @escaping () -> Void) {
    self.loop = loop
    self.changed = changed
  }

  /// Watches these files instead of those before.
  func follow(_ files: [String]) {
    identities = Self.identities(of: files)
    guard files != self.files else { return }
    self.files = files
    close()
    watches = Set(files.map { FilePath.directory(of: $0) }).sorted().compactMap { directory in
      try? DirectoryWatch(loop: loop, directory: directory) { [unowned self] _ in
        if !debounce.isScheduled { debounce.schedule(after: Self.debounceTime) }
      }
    }
    if !files.isEmpty { poll.schedule(after: Self.pollInterval) }
  }

  private func pollFiles() {
    compareFiles()
    poll.schedule(after: Self.pollInterval)
  }

  private func compareFiles() {
    let now = Self.identities(of: files)
    guard now != identities else { return }
    identities = now
    changed()
  }

  private static func identities(of files: [String]) -> [FileStat?] { files.map { try? FileStat($0) } }

  func close() {
    for watch in watches { watch.cancel() }
    watches = []
    debounce.cancel()
    poll.cancel()
  }
}
