import Loop
import RedisLog
import Runs
import Streams
import Testing
import Time

@Suite(.enabled(if: RedisServer.isAvailable), .serialized) struct PubSubFeedTests {
  let test: TestLoop
  let server: RedisServer
  let client: RedisClient
  let run = RunID("run-1")!

  init() throws {
    test = try TestLoop()
    server = try RedisServer()
    var settings = RedisSettings()
    settings.port = server.port
    client = RedisClient(loop: test.loop, dialer: test.dialer, settings: settings)
  }

  private func publish(_ message: String) throws {
    try server.cli("PUBLISH", "ai:run:run-1:pubsub", message)
  }

  @Test func `messages become events until one ends the run`() throws {
    defer { client.close() }
    let reader = FeedRecorder()
    _ = PubSubFeed(run: run, channels: client.channels, handler: reader)
    test.run(until: { client.channels.isOpen("ai:run:run-1:pubsub") })
    try publish("plain text")
    try publish(#"{"event":"delta","data":"two\nlines","id":"9"}"#)
    try publish(#"{"event":"partial","data":{"a":[1,2]}}"#)
    try publish(#"{"some":"data of its own"}"#)
    try publish(#"{"event":"forged\ndata: x","data":"y"}"#)
    try publish(#"{"broken"#)
    try publish(#"{"event":"complete","data":"bye","end":"completed"}"#)
    try publish("after the end")
    test.run(until: { reader.end != nil })
    test.run(for: .milliseconds(100))
    #expect(
      reader.blocks == [
        "data: plain text\n\n", "event: delta\nid: 9\ndata: two\ndata: lines\n\n",
        "event: partial\ndata: {\"a\":[1,2]}\n\n", "data: {\"some\":\"data of its own\"}\n\n", "data: y\n\n",
        "data: {\"broken\n\n", "event: complete\ndata: bye\n\n",
      ])
    #expect(reader.end?.outcome == .completed && reader.end?.events == 7)
    #expect(reader.allMetadata.map(\.number) == Array(1...7))
  }

  @Test func `a connection that is lost is the end, because messages are lost with it`() throws {
    defer { client.close() }
    let reader = FeedRecorder()
    _ = PubSubFeed(run: run, channels: client.channels, handler: reader)
    test.run(until: { client.channels.isOpen("ai:run:run-1:pubsub") })
    server.kill()
    test.run(until: { !reader.log.isEmpty })
    #expect(reader.log == ["vanished"])
  }

  @Test func `the channel's name comes from a template`() {
    #expect(PubSubFeed.name("ai:run:<id>:pubsub", of: run) == "ai:run:run-1:pubsub")
    #expect(PubSubFeed.name("jobs", of: run) == "jobs")
  }
}

@Suite(.enabled(if: RedisServer.isAvailable), .serialized) struct BullMQTests {
  let test: TestLoop
  let server: RedisServer
  let client: RedisClient

  init() throws {
    test = try TestLoop()
    server = try RedisServer()
    var settings = RedisSettings()
    settings.port = server.port
    client = RedisClient(loop: test.loop, dialer: test.dialer, settings: settings)
  }

  private func tell(_ job: String, _ event: String, _ name: String? = nil, _ value: String? = nil) throws {
    var words = ["XADD", "bull:answers:events", "MAXLEN", "~", "10000", "*", "event", event, "jobId", job]
    if let name, let value { words += [name, value] }
    let line = try server.cli(words)
    #expect(line.contains("-"))
  }

  @Test func `a job's events are told, what came before and what comes, and nothing of other jobs`() throws {
    defer { client.close() }
    let queue = BullMQQueue(name: "answers", follower: client.follower)
    try tell("1", "added", "name", "answer")
    try tell("2", "added")
    try tell("1", "active", "prev", "waiting")
    let (first, second, late) = (FeedRecorder(), FeedRecorder(), FeedRecorder())
    _ = queue.follow(try #require(RunID("1")), handler: first)
    _ = queue.follow(try #require(RunID("2")), handler: second)
    test.run(until: { first.blocks.count == 2 && second.blocks.count == 1 })
    try tell("1", "progress", "data", #"{"percent":10}"#)
    try tell("2", "progress", "data", "50")
    test.run(until: { first.blocks.count == 3 && second.blocks.count == 2 })
    _ = queue.follow(try #require(RunID("1")), handler: late)
    try tell("1", "completed", "returnvalue", #"{"text":"done"}"#)
    try tell("2", "failed", "failedReason", "it \"broke\"")
    test.run(until: { first.end != nil && second.end != nil && late.end != nil })
    #expect(
      first.blocks == [
        "event: status\ndata: {\"state\":\"added\"}\n\n", "event: status\ndata: {\"state\":\"active\"}\n\n",
        "event: partial\ndata: {\"percent\":10}\n\n", "event: complete\ndata: {\"text\":\"done\"}\n\n",
      ])
    #expect(late.blocks == first.blocks)
    #expect(first.end?.outcome == .completed && first.end?.events == 4)
    #expect(
      second.blocks == [
        "event: status\ndata: {\"state\":\"added\"}\n\n", "event: partial\ndata: 50\n\n",
        "event: error\ndata: {\"message\":\"it \\\"broke\\\"\"}\n\n",
      ])
    #expect(second.end?.outcome == .upstreamError)
    #expect(client.follower.count == 0)
  }

  @Test func `jobs come and go while a queue is busy`() throws {
    defer { client.close() }
    let queue = BullMQQueue(name: "answers", follower: client.follower)
    var readers: [FeedRecorder] = []
    for job in 0..<15 {
      let reader = FeedRecorder()
      readers.append(reader)
      _ = queue.follow(try #require(RunID("\(job)")), handler: reader)
      for step in 0..<4 { try tell("\(job)", "progress", "data", "\(step)") }
      if job % 2 == 0 { test.run(for: .milliseconds(3)) }
      try tell("\(job)", "completed", "returnvalue", "1")
    }
    test.run(until: { readers.allSatisfy { $0.end != nil } })
    for reader in readers { #expect(reader.blocks.count == 5 && reader.log.isEmpty) }
  }
}
