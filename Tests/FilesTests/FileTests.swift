import Files
import Glibc
import Testing
import Time

@Suite struct ReadFileTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  @Test func `a file is read whole with its state`() throws {
    directory.write("a", "hello")
    let contents = try readFile(directory["a"], limit: 5)
    #expect(contents.bytes.text == "hello")
    #expect(contents.stat.size == 5)
    #expect(try contents.stat == FileStat(directory["a"]))
  }

  @Test func `a file beyond the limit is refused unread`() throws {
    directory.write("a", "123456")
    #expect(throws: FileError.tooLarge(path: directory["a"], limit: 5)) {
      try readFile(directory["a"], limit: 5)
    }
  }

  @Test func `an empty file is empty`() throws {
    directory.write("a", "")
    #expect(try readFile(directory["a"], limit: 0).bytes.isEmpty)
  }

  @Test func `missing files, directories and FIFOs are named errors`() throws {
    #expect(throws: FileError.notFound(path: directory["no"])) { try readFile(directory["no"], limit: 5) }
    #expect(throws: FileError.notAFile(path: directory.path)) { try readFile(directory.path, limit: 5) }
    #expect(throws: FileError.notFound(path: "a\0b")) { try readFile("a\0b", limit: 5) }
    mkfifo(directory["fifo"], 0o600)
    #expect(throws: FileError.notAFile(path: directory["fifo"])) { try readFile(directory["fifo"], limit: 5) }
  }

  @Test func `a path that goes through a link shows the file it leads to`() throws {
    directory.write("one", "1")
    directory.write("two", "2")
    symlink("one", directory["link"])
    let before = try FileStat(directory["link"])
    #expect(try before == FileStat(directory["one"]))
    symlink("two", directory["next"])
    rename(directory["next"], directory["link"])
    #expect(try FileStat(directory["link"]) != before)
  }
}

@Suite struct AtomicFileTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  @Test func `replacing keeps the mode and leaves nothing behind`() throws {
    directory.write("a", "old")
    chmod(directory["a"], 0o640)
    try AtomicFile.replace(directory["a"], with: [UInt8]("new"))
    #expect(try readFile(directory["a"], limit: 10).bytes.text == "new")
    var status = stat()
    stat(directory["a"], &status)
    #expect(status.st_mode & 0o7777 == 0o640)
    #expect(directory.names == ["a"])
  }

  @Test func `a new file is made`() throws {
    try AtomicFile.replace(directory["a"], with: [UInt8]("new"))
    #expect(try readFile(directory["a"], limit: 10).bytes.text == "new")
  }

  @Test func `the modification time always moves on`() throws {
    directory.write("a", "0")
    var times = [timespec(tv_sec: 4_000_000_000, tv_nsec: 5), timespec(tv_sec: 4_000_000_000, tv_nsec: 5)]
    utimensat(AT_FDCWD, directory["a"], &times, 0)
    var last = try FileStat(directory["a"]).modified
    for round in 0..<20 {
      try AtomicFile.replace(directory["a"], with: [UInt8]("\(round)"))
      let now = try FileStat(directory["a"]).modified
      #expect(now > last)
      last = now
    }
  }

  @Test func `a symbolic link is not replaced by a file`() throws {
    directory.write("a", "old")
    symlink("a", directory["link"])
    #expect(throws: FileError.symbolicLink(path: directory["link"])) {
      try AtomicFile.replace(directory["link"], with: [])
    }
    #expect(try readFile(directory["a"], limit: 10).bytes.text == "old")
    #expect(throws: FileError.notAFile(path: directory.path)) { try AtomicFile.replace(directory.path, with: []) }
  }

  @Test func `a failed replacement leaves the old file and nothing else`() throws {
    #expect(throws: FileError.self) { try AtomicFile.replace(directory["no/such"], with: []) }
    mkdir(directory["sub"], 0o755)
    #expect(throws: FileError.notAFile(path: directory["sub"])) {
      try AtomicFile.replace(directory["sub"], with: [UInt8]("x"))
    }
    #expect(directory.names == ["sub"])
  }

  @Test(.enabled(if: getuid() == 0)) func `a file that is mounted by itself is told apart`() throws {
    directory.write("a", "old")
    directory.write("b", "other")
    guard mount(directory["b"], directory["a"], nil, 4096, nil) == 0 else { return }  // MS_BIND
    defer { umount(directory["a"]) }
    #expect(throws: FileError.mountedByItself(path: directory["a"])) {
      try AtomicFile.replace(directory["a"], with: [UInt8]("new"))
    }
    #expect(directory.names == ["a", "b"])
  }

  @Test func `readers see old or new, never a part, while two processes replace`() throws {
    let long = String(repeating: "x", count: 100_000)
    directory.write("a", long)
    directory.write("short", "y")
    directory.write("long", long)
    // A second process that replaces by the same means: write beside, rename over.
    let script =
      "cd \(directory.path); for i in $(seq 200); do cp short t; mv -f t a; done"
    let process = Shell.start("/bin/sh", ["-c", script])
    var seen: [Int: Int] = [:]
    for _ in 0..<200 {
      try AtomicFile.replace(directory["a"], with: [UInt8](long))
      seen[try readFile(directory["a"], limit: 1_000_000).bytes.count, default: 0] += 1
    }
    #expect(Shell.wait(process) == 0)
    #expect(Set(seen.keys).isSubset(of: [1, 100_000]))
  }
}

@Suite struct FileLockTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  @Test func `a second holder waits for its time and is told`() throws {
    let first = try FileLock(directory["a"])
    #expect(throws: FileError.locked(path: directory["a"] + ".lock")) {
      _ = try FileLock(directory["a"], wait: .milliseconds(30))
    }
    _ = consume first
    _ = try FileLock(directory["a"], wait: .zero)
  }

  @Test func `another process holds it too`() throws {
    let process = Shell.start(
      "/usr/bin/flock", ["-x", directory["a"] + ".lock", "-c", "touch \(directory["held"]); sleep 0.3"])
    try #require(process > 0)
    for _ in 0..<200 where access(directory["held"], F_OK) != 0 { usleep(10_000) }
    #expect(throws: FileError.self) { _ = try FileLock(directory["a"], wait: .zero) }
    _ = try FileLock(directory["a"], wait: .seconds(5))
    #expect(Shell.wait(process) == 0)
  }

  @Test func `lines are appended in order and links refused`() throws {
    try appendLine(directory["log"], [UInt8]("one\n"))
    try appendLine(directory["log"], [UInt8]("two\n"))
    #expect(try readFile(directory["log"], limit: 100).bytes.text == "one\ntwo\n")
    symlink("log", directory["link"])
    #expect(throws: FileError.symbolicLink(path: directory["link"])) { try appendLine(directory["link"], []) }
    // Nor does a FIFO without a reader hang the writer.
    mkfifo(directory["pipe"], 0o600)
    #expect(throws: FileError.self) { try appendLine(directory["pipe"], [1]) }
  }

  @Test func `paths are taken apart`() {
    #expect(FilePath.directory(of: "/etc/hosts") == "/etc")
    #expect(FilePath.directory(of: "/hosts") == "/")
    #expect(FilePath.directory(of: "hosts") == ".")
    #expect(FilePath.name(of: "/etc/hosts") == "hosts")
    #expect(FilePath.name(of: "hosts") == "hosts")
  }
}
