import Loop
import RedisLog
import Runs
import Streams
import Testing
import Time

@Suite(.enabled(if: RedisServer.isAvailable), .serialized) struct RedisClientTests {
  private final class Handler: CancelHandler {
    func runWasCancelled(_ run: RunID) {}
  }

  @Test(arguments: [false, true]) func `nothing of a client is left when it is closed`(isDown: Bool) throws {
    let (test, server) = (try TestLoop(), try RedisServer())
    weak var client: RedisClient?
    weak var connection: RedisConnection?
    weak var follower: RedisFollower?
    weak var watch: CancelWatch?
    weak var feed: FollowedRun?
    weak var log: RedisLog?
    func use() throws {
      var settings = RedisSettings()
      settings.port = server.port
      let made = RedisClient(loop: test.loop, dialer: test.dialer, settings: settings)
      let run = try #require(RunID("run-1"))
      let madeLog = RedisLog(run: run, store: made.store, memory: MemoryLog(of: nil))
      made.cancelWatch.watch(run, handler: Handler())
      feed = made.follower.follow(run, source: .gateway, handler: FeedRecorder())
      _ = PubSubFeed(run: run, channels: made.channels, handler: FeedRecorder())
      _ = madeLog.append(Array("data: x\n\n".utf8).span, EntryMetadata(number: 1))
      test.run(for: .milliseconds(200))
      if isDown { server.kill() }
      test.run(for: .milliseconds(200))
      (client, connection, follower) = (made, made.store.connection, made.follower)
      (watch, log) = (made.cancelWatch, madeLog)
      madeLog.close()
      made.close()
    }
    try use()
    test.run(for: .milliseconds(200))
    #expect(client == nil && connection == nil && follower == nil && watch == nil && feed == nil && log == nil)
    #expect(test.loop.deadlines.count == 0)
  }

  @Test func `what a client has done is counted over all its connections`() throws {
    let (test, server) = (try TestLoop(), try RedisServer())
    var settings = RedisSettings()
    settings.port = server.port
    let client = RedisClient(loop: test.loop, dialer: test.dialer, settings: settings)
    defer { client.close() }
    #expect(client.counts == RedisConnection.Counts())
    client.start()
    let run = try #require(RunID("run-1"))
    _ = client.follower.follow(run, source: .worker, handler: FeedRecorder())
    test.run(for: .milliseconds(200))
    #expect(client.isReady && client.lastFault == nil)
    #expect(client.counts.commands >= 2 && client.counts.losses == 0)
    server.kill()
    test.run(until: { client.counts.failures >= 2 })
    #expect(client.counts.losses == 2)
    #expect(client.lastFault?.isEmpty == false)
  }
}
