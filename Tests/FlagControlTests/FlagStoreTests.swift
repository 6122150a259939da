import FlagControl
import Flags
import Loop
import RunningGateway
import Streams
import Testing
import Time

@Suite struct `The flag file at run time` {
  private func open(_ desk: Desk, _ more: String = "") throws -> FlagStore {
    try FlagStore(settings: desk.settings(more), loop: desk.loop, log: desk.log, reserve: desk.reserve)
  }

  @Test func `a file that changes takes effect, once`() throws {
    let desk = try Desk()
    desk.files.replace("flags", flagFile(.legacy))
    let store = try open(desk)
    var taken: [String] = []
    store.onChange = { taken.append($0.version) }
    #expect(store.current.fixed?.variant == .legacy && store.loads == 1)
    desk.files.replace("flags", flagFile(.graceful, name: "2"))
    desk.turns { !taken.isEmpty }
    #expect(taken == ["2"] && store.current.fixed?.variant == .graceful && store.loads == 2)
    store.reload()
    #expect(taken == ["2"] && store.loads == 2)
  }

  @Test func `a file that is wrong changes nothing, and each fault is told once`() throws {
    let desk = try Desk()
    desk.files.replace("flags", flagFile(.shield))
    let store = try open(desk)
    store.onChange = { _ in Issue.record("a wrong file took effect") }
    desk.files.replace("flags", "{")
    store.reload()
    let found = store.staleSince
    desk.clock.civilTimeAhead = .seconds(7)
    store.reload()
    #expect(store.failures == 1 && store.fault != nil && found != nil && store.staleSince == found)
    #expect(store.current.fixed?.variant == .shield)
    desk.files.replace("flags", #"{"flags": {}}"#)
    store.reload()
    #expect(store.failures == 2 && store.staleSince == found)
    // The file is again what is in force.
    desk.files.replace("flags", flagFile(.shield))
    store.reload()
    #expect(store.fault == nil && store.staleSince == nil && store.loads == 1)
    #expect(desk.endLog() == ["flags_loaded", "flags_refused", "flags_refused"])
  }

  @Test func `a file that is deleted stays in force`() throws {
    let desk = try Desk()
    desk.files.replace("flags", flagFile(.graceful))
    let store = try open(desk)
    desk.files.delete("flags")
    desk.turns { store.fault != nil }
    #expect(store.fault != nil && store.current.fixed?.variant == .graceful)
    desk.files.replace("flags", flagFile(.legacy, name: "back"))
    desk.turns { store.fault == nil }
    #expect(store.current.version == "back")
  }

  @Test(arguments: ["", "{", #"{"flags": {"other": {"state": "ENABLED"}}}"#])
  func `the start fails without a good file, unless the configuration says otherwise`(_ text: String) throws {
    let desk = try Desk()
    if !text.isEmpty { desk.files.replace("flags", text) }
    #expect(throws: FlagStore.LoadError.self) { try open(desk) }
    #expect(FlagSnapshot.fault(of: try desk.settings()) != nil)
    let store = try open(desk, "startWithout: true, default: \"shield\"")
    #expect(store.current.fixed?.variant == .shield && store.fault != nil && store.loads == 0)
    desk.files.replace("flags", flagFile(.graceful))
    store.reload()
    #expect(store.current.fixed?.variant == .graceful && store.fault == nil)
  }

  @Test func `what a snapshot says of everybody`() throws {
    func snapshot(_ text: String) throws -> FlagSnapshot {
      FlagSnapshot(try flagSet(text), loadedAt: WallTime(milliseconds: 0))
    }
    let plain = try snapshot(flagFile(.graceful))
    #expect(plain.fixed?.variant == .graceful && plain.fixed?.reason == .static)
    #expect(!plain.isKilled && plain.recall == .none)
    let killed = try snapshot(flagFile(.graceful, state: "DISABLED"))
    #expect(killed.fixed?.variant == .legacy && killed.fixed?.reason == .disabled)
    #expect(killed.isKilled && killed.recall == .announced)
    #expect(try snapshot(flagFile(percent: 50)).fixed == nil)
  }
}
