import Files
import Glibc
import Loop
import Testing
import Time

@Suite struct DirectoryWatchTests {
  let directory: TemporaryDirectory
  let loop: EventLoop

  init() throws {
    directory = try TemporaryDirectory()
    loop = try EventLoop()
  }

  /// Runs the loop until `condition` or for five seconds.
  func run(until condition: @escaping () -> Bool) {
    let end = loop.readClock() + .seconds(5)
    while !condition(), loop.readClock() < end {
      let timer = Loop.Timer(loop: loop) { loop.stop() }
      timer.schedule(after: .milliseconds(5))
      loop.run()
    }
    #expect(condition())
  }

  @Test func `writing, renaming over and deleting a file are told by name`() throws {
    var events: [DirectoryEvent] = []
    let watch = try DirectoryWatch(loop: loop, directory: directory.path) { events.append($0) }
    directory.write("a", "1")
    run { events.contains(.changed(name: "a")) }
    events = []
    directory.write("b", "2")
    rename(directory["b"], directory["a"])
    run { events.contains(.changed(name: "a")) }
    events = []
    unlink(directory["a"])
    run { events.contains(.changed(name: "a")) }
    watch.cancel()
  }

  @Test func `the swap of a Kubernetes data link is told`() throws {
    mkdir(directory["..1"], 0o755)
    mkdir(directory["..2"], 0o755)
    directory.write("..1/flags.json", "1")
    directory.write("..2/flags.json", "2")
    symlink("..1", directory["..data"])
    symlink("..data/flags.json", directory["flags.json"])
    let before = try FileStat(directory["flags.json"])
    var events: [DirectoryEvent] = []
    let watch = try DirectoryWatch(loop: loop, directory: directory.path) { events.append($0) }
    symlink("..2", directory["..data_tmp"])
    rename(directory["..data_tmp"], directory["..data"])
    run { events.contains(.changed(name: "..data")) }
    #expect(try FileStat(directory["flags.json"]) != before)
    #expect(try readFile(directory["flags.json"], limit: 10).bytes.text == "2")
    watch.cancel()
  }

  @Test func `an atomic replacement is told`() throws {
    directory.write("a", "1")
    var events: [DirectoryEvent] = []
    let watch = try DirectoryWatch(loop: loop, directory: directory.path) { events.append($0) }
    try AtomicFile.replace(directory["a"], with: [UInt8]("2"))
    run { events.contains(.changed(name: "a")) }
    watch.cancel()
  }

  @Test func `a directory that goes and comes back is lost and restored`() throws {
    mkdir(directory["sub"], 0o755)
    var events: [DirectoryEvent] = []
    let watch = try DirectoryWatch(loop: loop, directory: directory["sub"]) { events.append($0) }
    rmdir(directory["sub"])
    run { events.contains(.lost) }
    mkdir(directory["sub"], 0o755)
    run { events.contains(.restored) }
    directory.write("sub/a", "1")
    run { events.contains(.changed(name: "a")) }
    // Moved away with another in its place.
    events = []
    rename(directory["sub"], directory["gone"])
    mkdir(directory["sub"], 0o755)
    run { events.contains(.restored) }
    #expect(events.contains(.lost))
    events = []
    directory.write("gone/b", "1")
    directory.write("sub/c", "1")
    run { events.contains(.changed(name: "c")) }
    #expect(!events.contains(.changed(name: "b")))
    watch.cancel()
  }

  @Test func `a missing directory and a file are refused`() throws {
    #expect(throws: FileError.notFound(path: directory["no"])) {
      try DirectoryWatch(loop: loop, directory: directory["no"]) { _ in }
    }
    directory.write("a", "1")
    #expect(throws: FileError.notFound(path: directory["a"])) {
      try DirectoryWatch(loop: loop, directory: directory["a"]) { _ in }
    }
  }

  @Test func `a watch may be cancelled in its own handler`() throws {
    var watch: DirectoryWatch?
    var count = 0
    watch = try DirectoryWatch(loop: loop, directory: directory.path) { _ in
      count += 1
      watch?.cancel()
      watch = nil
    }
    directory.write("a", "1")
    directory.write("b", "1")
    run { count == 1 }
    #expect(watch == nil)
  }

  @Test func `a watch that goes without having been cancelled ends by itself`() throws {
    var watch: DirectoryWatch? = try DirectoryWatch(loop: loop, directory: directory.path) { _ in }
    #expect(watch != nil)
    watch = nil
  }
}
