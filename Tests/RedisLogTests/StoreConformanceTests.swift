import Loop
import RedisLog
import Runs
import StoreConformance
import Testing
import Time

/// Redis as the store of runs, by what every store must promise.
@Suite(.enabled(if: RedisServer.isAvailable), .serialized) struct StoreConformanceTests {
  @Test(arguments: StorePromise.allCases, [false, true])
  func `Redis keeps what a store must promise`(promise: StorePromise, usesHashTags: Bool) throws {
    let server = try RedisServer()
    var settings = RedisSettings()
    settings.port = server.port
    settings.usesHashTags = usesHashTags
    try play(promise, with: settings)
  }

  @Test func `a Redis Cluster keeps what a store must promise`() throws {
    for promise in StorePromise.allCases {
      let cluster = try ClusterServers()
      try play(promise, with: try cluster.settings())
    }
  }

  private func play(_ promise: StorePromise, with settings: RedisSettings) throws {
    let test = try TestLoop()
    let stores = ["a", "b"].map { name in
      var settings = settings
      settings.clientName = name
      settings.lease = .seconds(2)
      settings.renewal = .milliseconds(600)
      return RedisClient(loop: test.loop, dialer: test.dialer, settings: settings)
    }
    defer { for store in stores { store.close() } }
    let abandon = { stores[0].close() }
    let trial = StoreTrial(stores[0], stores[1], abandonFirst: abandon) { condition in
      var isSo = false
      test.run(
        until: {
          isSo = condition()
          return isSo
        }, limit: .seconds(10))
      return isSo
    }
    #expect(trial.faults(of: promise) == [], "\(promise)")
  }
}
