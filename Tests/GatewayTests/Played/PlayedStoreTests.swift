import Loop
import Runs
import StoreConformance
import Testing

/// The store that gateways are played with is a store like any other.
@Suite struct PlayedStoreTests {
  private func faults(of promise: StorePromise, _ truth: PlayedTruth) throws -> [String] {
    let loop = try EventLoop()
    defer { loop.abandonMembers() }
    let stores = [PlayedStore(truth, loop: loop), PlayedStore(truth, loop: loop)]
    let abandon = { truth.abandon() }
    let trial = StoreTrial(stores[0], stores[1], abandonFirst: abandon) { condition in
      for _ in 0..<2000 where !condition() { loop.turn() }
      return condition()
    }
    return trial.faults(of: promise)
  }

  @Test(arguments: StorePromise.allCases)
  func `the played store keeps what a store must promise`(promise: StorePromise) throws {
    #expect(try faults(of: promise, PlayedTruth()) == [])
  }

  @Test(arguments: StorePromise.allCases)
  func `a store that keeps no promise is found out`(promise: StorePromise) throws {
    let truth = PlayedTruth()
    truth.isAway = true
    #expect(try faults(of: promise, truth).isEmpty == false)
  }
}
