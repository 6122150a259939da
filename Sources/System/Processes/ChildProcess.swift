internal import Glibc
package import Time

/// A program started by this one, spoken with through pipes. Blocking: for tools and tests, never on a loop.
///
/// A child that is still running when its last reference goes is killed, so that no failure leaves servers behind.
package final class ChildProcess {
  package enum Exit: Equatable, Sendable {
    case code(Int32)
    case signal(Int32)
  }

  package let pid: Int32
  /// The program's name, for messages.
  package let name: String
  private let outputDescriptor: Int32
  private let inputDescriptor: Int32
  private var unread: [UInt8] = []
  private var exit: Exit?

  /// Starts `arguments[0]`, looked up in PATH, with the environment of this process and `environment` added.
  ///
  /// Its standard output is read by `readLine`. Its standard input stays open until the child or `closeInput` ends,
  /// so a helper can stop by itself when its parent is gone. Its standard error goes to `errorFile`, or to this
  /// process's own.
  package init(
    _ arguments: [String], environment: [String: String] = [:], errorFile: String? = nil
  ) throws(ProcessError) {
    let program = arguments.first ?? ""
    name = program
    let (outputReader, outputWriter) = try Self.pipe()
    let (inputReader, inputWriter) = try Self.pipe()
    defer {
      _ = Glibc.close(outputWriter)
      _ = Glibc.close(inputReader)
    }
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    defer { unsafe posix_spawn_file_actions_destroy(&actions) }
    unsafe posix_spawn_file_actions_adddup2(&actions, inputReader, 0)
    unsafe posix_spawn_file_actions_adddup2(&actions, outputWriter, 1)
    if let errorFile {
      unsafe posix_spawn_file_actions_addopen(&actions, 2, errorFile, O_WRONLY | O_CREAT | O_APPEND, 0o600)
    }
    var attributes = posix_spawnattr_t()
    Self.resetSignals(&attributes)
    defer { unsafe posix_spawnattr_destroy(&attributes) }
    var child: pid_t = 0
    let failure = unsafe Self.withStrings(arguments) { words in
      unsafe Self.withStrings(Self.merged(environment)) { variables in
        unsafe posix_spawnp(&child, program, &actions, &attributes, words, variables)
      }
    }
    if failure != 0 {
      _ = Glibc.close(outputReader)
      _ = Glibc.close(inputWriter)
      throw ProcessError("start \(program)", failure)
    }
    pid = child
    outputDescriptor = outputReader
    inputDescriptor = inputWriter
  }

  deinit {
    if exit == nil {
      _ = Glibc.kill(pid, SIGKILL)
      _ = waitpid(pid, nil, 0)
    }
    _ = Glibc.close(outputDescriptor)
    if !inputIsClosed { _ = Glibc.close(inputDescriptor) }
  }

  private var inputIsClosed = false

  /// Lets the child see the end of its standard input.
  package func closeInput() {
    guard !inputIsClosed else { return }
    inputIsClosed = true
    _ = Glibc.close(inputDescriptor)
  }

  /// Writes a line to the child's standard input. Blocks while the pipe is full.
  ///
  /// - Returns: whether the child could take it. Where SIGPIPE is not ignored, a child that is gone raises it.
  package func write(line: String) -> Bool {
    var rest = Array((line + "\n").utf8)[...]
    while !inputIsClosed, !rest.isEmpty {
      let count = unsafe rest.withUnsafeBytes { unsafe Glibc.write(inputDescriptor, $0.baseAddress, $0.count) }
      if count > 0 { rest = rest.dropFirst(count) } else if errno != EINTR { return false }
    }
    return !inputIsClosed
  }

  /// The next line of the child's standard output without its line feed; `nil` at the end of the output or when
  /// `timeout` is over; with none, what is there now is looked at.
  package func readLine(timeout: Nanoseconds) -> String? {
    let deadline = SystemClock.now + timeout
    while true {
      if let end = unread.firstIndex(of: 0x0A) {
        let line = String(decoding: unread[..<end], as: UTF8.self)
        unread.removeFirst(end + 1)
        return line
      }
      guard waitForOutput(until: deadline), readOutput() else { return nil }
    }
  }

  /// Sends `signal`; nothing happens to a child that has already been waited for.
  package func signal(_ signal: Int32) {
    if exit == nil { _ = Glibc.kill(pid, signal) }
  }

  /// Waits until the child ends; `nil` when `timeout` is over first.
  package func wait(timeout: Nanoseconds) -> Exit? {
    let deadline = SystemClock.now + timeout
    while exit == nil {
      var status: Int32 = 0
      if unsafe waitpid(pid, &status, WNOHANG) == pid {
        let signal = status & 0x7F
        exit = signal == 0 ? .code((status >> 8) & 0xFF) : .signal(signal)
      } else {
        guard SystemClock.now < deadline else { return nil }
        SystemClock.sleep(.milliseconds(2))
      }
    }
    return exit
  }

  /// Asks the child to end, and kills it when it has not done so in `grace`.
  @discardableResult
  package func stop(grace: Nanoseconds = .seconds(2)) -> Exit? {
    closeInput()
    signal(SIGTERM)
    if let exit = wait(timeout: grace) { return exit }
    signal(SIGKILL)
    return wait(timeout: .seconds(5))
  }
}

extension ChildProcess {
  private func waitForOutput(until deadline: MonotonicTime) -> Bool {
    let rest = max(0, (deadline - SystemClock.now).milliseconds)
    var interest = pollfd(fd: outputDescriptor, events: Int16(POLLIN), revents: 0)
    return unsafe poll(&interest, 1, Int32(min(rest.rounded(.up), 1e9))) > 0
  }

  /// Whether there was more.
  private func readOutput() -> Bool {
    let piece = unsafe [UInt8](unsafeUninitializedCapacity: 4096) { buffer, count in
      count = unsafe max(0, read(outputDescriptor, buffer.baseAddress, buffer.count))
    }
    unread += piece
    return !piece.isEmpty
  }

  /// Both ends close on exec: a child that kept the writing end of another's pipe would hide that one's end.
  private static func pipe() throws(ProcessError) -> (reader: Int32, writer: Int32) {
    var ends: [Int32] = [0, 0]
    guard unsafe Glibc.pipe(&ends) == 0 else { throw ProcessError("make a pipe") }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return (ends[0], ends[1])
  }

  /// A thread of a pool may block signals, and a server ignores some: neither is the child's business.
  private static func resetSignals(_ attributes: inout posix_spawnattr_t) {
    var (none, all) = (sigset_t(), sigset_t())
    unsafe sigemptyset(&none)
    unsafe sigfillset(&all)
    unsafe posix_spawnattr_init(&attributes)
    unsafe posix_spawnattr_setsigmask(&attributes, &none)
    unsafe posix_spawnattr_setsigdefault(&attributes, &all)
    unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
  }

  /// The environment this process was started with, and `added` over it.
  private static func merged(_ added: [String: String]) -> [String] {
    let own = (try? SmallFile.contents("/proc/self/environ")) ?? ""
    let kept = own.split(separator: "\0").map(String.init).filter { line in
      !added.keys.contains { line.hasPrefix($0 + "=") }
    }
    return kept + added.map { "\($0.key)=\($0.value)" }
  }

  private static func withStrings<Result>(
    _ strings: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Result
  ) -> Result {
    var pointers = unsafe strings.map { unsafe strdup($0) } + [nil]
    defer { for index in unsafe pointers.indices { unsafe free(pointers[index]) } }
    return unsafe pointers.withUnsafeMutableBufferPointer { buffer in
      unsafe body(buffer.baseAddress.unsafelyUnwrapped)
    }
  }
}

/// The clock of blocking tools. Loops have their own.
package enum SystemClock {
  package static var now: MonotonicTime {
    var time = timespec()
    _ = unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    return MonotonicTime(nanoseconds: UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec))
  }

  package static func sleep(_ time: Nanoseconds) {
    let end = (now + time).nanoseconds
    var until = timespec(tv_sec: Int(end / 1_000_000_000), tv_nsec: Int(end % 1_000_000_000))
    while unsafe clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nil) == EINTR {}
  }
}
