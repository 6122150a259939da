import FlagControl
import Loop
import RunningGateway
import Streams
import Testing
import Time

@Suite struct `The census of clients` {
  private let desk: Desk

  init() throws { desk = try Desk() }

  private func keeper() -> CensusKeeper {
    CensusKeeper(beside: desk.files["guard"], loop: desk.loop, log: desk.log, reserve: desk.reserve)
  }

  private func part(_ streams: Int) -> Census {
    var census = Census()
    let key = CensusKey(product: .unknown, route: "chat", capability: Capability.none, mode: .legacy)
    for client in 0..<streams {
      let end = CensusEnd(identity: UInt64(client), isCompleted: true, leftAtCompletion: false)
      census.count(key, end, at: desk.loop.wallTime())
    }
    return census
  }

  @Test func `it survives a restart, and the same client still counts once`() throws {
    let first = keeper()
    first.take([part(3), part(2)])
    first.rest()
    let second = keeper()
    #expect(second.census.streams(in: .legacy) == 5 && second.seed == first.seed)
    #expect(second.census.rows.count == first.census.rows.count)
  }

  @Test func `it is written once a minute at most, and only when something was counted`() throws {
    let keeper = keeper()
    desk.clock.pass(.seconds(61))
    keeper.saveRegularly()
    #expect(desk.files.text("guard.clients") == nil)
    keeper.take([part(1)])
    desk.clock.pass(.seconds(59))
    keeper.saveRegularly()
    #expect(desk.files.text("guard.clients") == nil)
    desk.clock.pass(.seconds(2))
    keeper.saveRegularly()
    #expect(desk.files.text("guard.clients") != nil)
  }

  @Test func `a process that is ending leaves the file to the next one`() throws {
    let keeper = keeper()
    keeper.take([part(1)])
    keeper.rest()
    let saved = desk.files.text("guard.clients")
    keeper.take([part(4)])
    desk.clock.pass(.seconds(61))
    keeper.saveRegularly()
    #expect(saved != nil && desk.files.text("guard.clients") == saved)
  }

  @Test func `a file that nobody can read is told of, and counting begins anew`() throws {
    desk.files.write("guard.clients", "no JSON")
    #expect(keeper().census.isEmpty)
    #expect(desk.endLog() == ["clients_not_restored"])
  }
}
