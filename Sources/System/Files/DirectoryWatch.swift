import Glibc
package import Loop
import Time

/// What happened in a watched directory.
package enum DirectoryEvent: Hashable, Sendable {
  /// The entry of this name was written, renamed to or from, created, deleted, or had its attributes changed.
  case changed(name: String)
  /// Events were lost: look at everything again.
  case overflow
  /// The directory is gone or was moved away. The watch looks for a new one at its path.
  case lost
  /// A directory stands at the path again: look at everything in it.
  case restored
}

/// Tells what happens in one directory (not below it), by inotify.
///
/// Watching the directory rather than a file sees every way of replacing a file: rewriting, renaming over it, and the
/// swap of the `..data` link by which Kubernetes updates a volume.
package final class DirectoryWatch {
  /// How often a directory that is gone is looked for.
  static let searchInterval = Nanoseconds.milliseconds(500)

  private static let mask = UInt32(
    IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF
      | IN_ONLYDIR)

  package let directory: String
  private let loop: EventLoop
  private let handler: (DirectoryEvent) -> Void
  private let descriptor: Int32
  private var watched: Int32 = -1
  private var watch: SocketWatch?
  private var isCancelled = false
  /// Made when the directory is first lost. Not lazy: `deinit` asks for it, when it is too late to make one.
  private var search: Timer?

  /// - Parameter handler: called on the loop, for one event at a time.
  /// - Throws: when there is no such directory, or inotify has no instance or watch left (`fs.inotify.max_user_*`).
  package init(loop: EventLoop, directory: String, handler: @escaping (DirectoryEvent) -> Void) throws(FileError) {
    self.loop = loop
    self.directory = directory
    self.handler = handler
    descriptor = inotify_init1(Int32(IN_NONBLOCK | IN_CLOEXEC))
    guard descriptor >= 0 else { throw FileError("inotify_init1", directory) }
    if let error = addWatch() { throw FileError("inotify_add_watch", directory, error) }
    watch = SocketWatch(loop: loop, descriptor: descriptor, handler: self)
    guard watch?.startReading() == true else { throw FileError("epoll_ctl", directory) }
  }

  deinit {
    cancel()
  }

  /// Ends watching for good.
  package func cancel() {
    guard !isCancelled else { return }
    isCancelled = true
    watch?.cancel()
    search?.cancel()
    if descriptor >= 0 { close(descriptor) }
  }

  private func addWatch() -> SystemError? {
    watched = unsafe inotify_add_watch(descriptor, directory, Self.mask)
    return watched >= 0 ? nil : .last
  }

  /// The directory that was watched is not at its path any more.
  private func lose() {
    guard watched >= 0 else { return }
    inotify_rm_watch(descriptor, watched)
    watched = -1
    handler(.lost)
    searchForDirectory()
  }

  /// Watches the directory again if there is one by now, else tries again later.
  private func searchForDirectory() {
    guard !isCancelled, watched < 0 else { return }
    if addWatch() == nil {
      handler(.restored)
    } else {
      if search == nil { search = Timer(loop: loop) { [unowned self] in searchForDirectory() } }
      search?.schedule(after: Self.searchInterval)
    }
  }
}

extension DirectoryWatch: SocketWatchHandler {
  package func socketBecameWritable() {}

  package func socketBecameReadable() {
    for event in takeEvents() where !isCancelled {
      if event.mask & UInt32(IN_Q_OVERFLOW) != 0 {
        handler(.overflow)
      } else if event.watch != watched {
        continue  // of a directory that was lost before
      } else if event.mask & UInt32(IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT) != 0 {
        lose()
      } else {
        handler(.changed(name: event.name))
      }
    }
  }

  private struct Event {
    let watch: Int32
    let mask: UInt32
    let name: String
  }

  /// Reads what the kernel has, as far as it fits one read; the rest comes with the next call.
  private func takeEvents() -> [Event] {
    let size = 16 * 1024
    return unsafe withUnsafeTemporaryAllocation(byteCount: size, alignment: 8) { buffer in
      let length = unsafe read(descriptor, buffer.baseAddress, size)
      var events: [Event] = []
      var offset = 0
      let headSize = MemoryLayout<inotify_event>.size
      while offset + headSize <= length {
        let head = unsafe buffer.loadUnaligned(fromByteOffset: offset, as: inotify_event.self)
        let end = min(offset + headSize + Int(head.len), length)
        let padded = unsafe UnsafeRawBufferPointer(rebasing: buffer[(offset + headSize)..<end])
        // The kernel pads the name with zeros.
        let name = unsafe String(decoding: padded.prefix { $0 != 0 }, as: UTF8.self)
        events.append(Event(watch: head.wd, mask: head.mask, name: name))
        offset = end
      }
      return events
    }
  }
}
