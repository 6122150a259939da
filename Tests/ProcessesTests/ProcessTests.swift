import Processes
import Testing
import Time

@Suite struct ChildProcessTests {
  @Test func `lines of a child are read as they come, and its exit code`() throws {
    let child = try ChildProcess(["sh", "-c", "echo one; printf 'two\nthree'; exit 7"])
    #expect(child.readLine(timeout: .seconds(5)) == "one")
    #expect(child.readLine(timeout: .seconds(5)) == "two")
    #expect(child.readLine(timeout: .seconds(5)) == nil)
    #expect(child.wait(timeout: .seconds(5)) == .code(7))
  }

  @Test func `a silent child does not hold a reader beyond its time`() throws {
    let child = try ChildProcess(["sleep", "60"])
    let start = SystemClock.now
    #expect(child.readLine(timeout: .milliseconds(50)) == nil)
    #expect(SystemClock.now - start < .seconds(5))
    #expect(child.stop() == .signal(15))
  }

  @Test func `a child that ignores the request to end is killed`() throws {
    let child = try ChildProcess(["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"])
    #expect(child.readLine(timeout: .seconds(5)) == "ready")
    #expect(child.stop(grace: .milliseconds(100)) == .signal(9))
  }

  @Test func `closing the input ends a child that reads it`() throws {
    let child = try ChildProcess(["cat"])
    child.closeInput()
    #expect(child.wait(timeout: .seconds(5)) == .code(0))
  }

  @Test func `variables are added to the environment`() throws {
    let child = try ChildProcess(
      ["sh", "-c", "echo $FERMATA_WORD; echo ${PATH:+path}"], environment: ["FERMATA_WORD": "x"])
    #expect(child.readLine(timeout: .seconds(5)) == "x")
    #expect(child.readLine(timeout: .seconds(5)) == "path")
  }

  @Test func `a program that is not there is an error with its name`() {
    #expect {
      try ChildProcess(["/nowhere/fermata-missing"])
    } throws: { error in
      "\(error)".contains("fermata-missing")
    }
  }
}

@Suite struct ProcessMeterTests {
  @Test func `processor time grows with work and not with sleep`() throws {
    let child = try ChildProcess(["sh", "-c", "echo go; i=0; while [ $i -lt 20000000 ]; do i=$((i+1)); done"])
    #expect(child.readLine(timeout: .seconds(5)) == "go")
    let before = try ProcessMeter.read(child.pid)
    SystemClock.sleep(.milliseconds(300))
    let after = try ProcessMeter.read(child.pid)
    #expect(after.cpu > before.cpu)
    #expect(after.residentBytes > 50_000 && after.descriptors >= 3 && after.threads == 1)
    let sleeper = try ChildProcess(["sleep", "60"])
    SystemClock.sleep(.milliseconds(100))
    let start = try ProcessMeter.read(sleeper.pid).cpu
    SystemClock.sleep(.milliseconds(100))
    #expect(try ProcessMeter.read(sleeper.pid).cpu - start < .milliseconds(20))
  }

  @Test func `this process can be read too`() throws {
    let usage = try ProcessMeter.read()
    #expect(usage.cpu > .zero && usage.residentBytes > 1 << 20)
  }

  @Test func `a process that is gone is an error`() throws {
    let child = try ChildProcess(["true"])
    #expect(child.wait(timeout: .seconds(5)) == .code(0))
    #expect(throws: ProcessError.self) { try ProcessMeter.read(child.pid) }
  }
}

@Suite struct TemporaryDirectoryTests {
  @Test func `a directory is new, takes files, and goes with them`() throws {
    let (one, two) = (try TemporaryDirectory(prefix: "fermata"), try TemporaryDirectory(prefix: "fermata"))
    #expect(one.path != two.path)
    let file = try one.write("a.conf", "hello\n")
    let reader = try ChildProcess(["cat", file])
    #expect(reader.readLine(timeout: .seconds(5)) == "hello")
    let maker = try ChildProcess(["sh", "-c", "mkdir -p \(one.path)/a/b; touch \(one.path)/a/b/c; echo made"])
    #expect(maker.readLine(timeout: .seconds(5)) == "made")
    one.remove()
    two.remove()
    let lister = try ChildProcess(["sh", "-c", "ls -d \(one.path) \(two.path) 2>/dev/null; echo end"])
    #expect(lister.readLine(timeout: .seconds(5)) == "end")
  }
}
