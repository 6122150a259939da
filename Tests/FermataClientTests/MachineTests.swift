import FermataClientCore
import Testing

struct MachineTests {
  @Test func `a quiet plain stream lives for ever`() {
    var played = Played()
    played.head()
    for number in 0..<10 {
      played.data("data: \(number)\n\n")
      played.wait(400)
    }
    #expect(played.machine.result == nil)
    #expect(played.taken().count == 10)
  }

  @Test func `a graceful stream without keepalives is dead after 45 seconds`() {
    var played = Played()
    played.head(200, Played.graceful)
    played.data(Played.token(1))
    played.wait(44)
    #expect(played.machine.phase == .body)
    played.wait(1.1)
    #expect(played.machine.phase == .pause)
    played.again()
    #expect(played.plan.url == "http://host/fermata/streams/\(Played.id)")
    #expect(played.plan.headers.contains { $0.name == "Last-Event-ID" && $0.value == "\(Played.id).1" })
  }

  @Test func `silence is measured against the gaps between comments`() {
    var rule = DeadRule(.automatic)
    #expect(rule.seconds(graceful: true) == 45)
    rule.comment(0)
    #expect(rule.seconds(graceful: false) == nil)
    rule.comment(25)
    #expect(rule.seconds(graceful: false) == 62.5)
    rule.comment(1030)
    #expect(rule.seconds(graceful: false) == 120)
  }

  @Test func `a machine that slept gives one grace of five seconds`() {
    var played = Played()
    played.head(200, Played.graceful)
    played.data(Played.token(1))
    played.sleep(600)
    #expect(played.machine.phase == .body)
    #expect(played.machine.deadline == played.now + 5)
    played.wait(5.1)
    #expect(played.machine.phase != .body)
  }

  @Test func `a full queue stops the clocks`() {
    var played = Played {
      $0.deadTimeout = .after(.seconds(10))
      $0.maximumQueuedBytes = 10
    }
    played.head(200, Played.graceful)
    played.data(Played.token(1))
    #expect(played.machine.isFull)
    played.wait(500)
    #expect(played.machine.phase == .body)
    #expect(played.taken() == ["1"])
    played.wait(9)
    #expect(played.machine.phase == .body)
    played.wait(2)
    #expect(played.machine.phase != .body)
  }

  @Test func `pauses double up to the longest, half of them by chance`() {
    var low = Backoff(base: 1, maximum: 30, attempts: nil, random: { 0 })
    var high = Backoff(base: 1, maximum: 30, attempts: nil, random: { 1 })
    #expect((0..<7).map { _ in low.next() } == [0.5, 1, 2, 4, 8, 15, 15])
    #expect((0..<7).map { _ in high.next() } == [1, 2, 4, 8, 16, 30, 30])
    high.progress()
    high.serverAsks(milliseconds: 0)
    #expect(high.next() == 1)
    high.serverAsks(milliseconds: .max)
    #expect(high.next(retryAfter: 1000) == 1000)
  }

  @Test(arguments: [400, 403, 404, 409, 426, 451, 501, 304]) func `final statuses are not asked again`(_ status: Int) {
    var played = Played()
    played.head(status, [])
    played.over(clean: true)
    #expect(played.machine.result?.outcome == "no_stream")
    #expect(played.machine.result?.error?.status == status)
  }

  @Test func `five failures in a row are enough`() {
    var played = Played()
    for _ in 0..<5 {
      played.head(503, [])
      played.over()
      played.again()
    }
    played.head(503, [])
    played.over()
    #expect(played.machine.result?.attempts == 6)
  }

  @Test(
    arguments: [(500, nil, false), (503, nil, false), (503, 1, true), (429, 1, true), (502, 1, false)]
      as [(Int, Double?, Bool)])
  func `a POST is asked again only where nothing can have begun`(_ status: Int, _ retryAfter: Double?, _ again: Bool) {
    var played = Played("POST")
    played.head(status, [], retryAfter: retryAfter)
    played.over(clean: true)
    #expect((played.machine.phase == .pause) == again)
  }

  @Test func `a backend's own stream_end is an event`() {
    var played = Played()
    played.head(200, Played.graceful)
    played.data("id: \(Played.id).1\nevent: stream_end\ndata: {\"type\":\"stream_end\"}\n\n")
    played.data("event: stream_end\ndata: over\n\n")
    #expect(played.taken().count == 2)
    #expect(played.machine.result == nil)
  }

  @Test func `counts that differ are not complete`() {
    var played = Played()
    played.head(200, Played.graceful)
    played.data(Played.token(1) + Played.end("completed", 3))
    #expect(played.machine.result?.outcome == "missing_events")
    #expect(played.machine.result?.isVerified == false)
  }

  @Test func `the place to resume is what the consumer took`() {
    var played = Played()
    played.head(200, Played.graceful)
    played.data(Played.token(1) + Played.token(2) + Played.token(3))
    _ = played.machine.take(played.now)
    #expect(played.machine.lastEventID == "\(Played.id).1")
    played.machine.close()
    #expect(played.machine.result?.lastEventID == "\(Played.id).1")
    #expect(played.taken() == [])
  }

  @Test func `inputs of an exchange that is over change nothing`() {
    var played = Played()
    played.head(200, Played.graceful)
    played.data(Played.token(1))
    let old = played.plan.exchange
    played.over()
    played.again()
    played.head(200, Played.graceful)
    played.machine.data(old, played.now, Array(Played.token(9).utf8))
    played.machine.over(old, played.now, clean: true)
    #expect(played.machine.phase == .body)
    #expect(played.taken() == ["1"])
  }

  @Test func `hostile payloads are plain events`() {
    let deep = String(repeating: "[", count: 100_000)
    for data in [
      deep, "{\"type\":\"stream_end\",\"a\":\(deep)", "{\"type\":[\"stream_end\"]}", "{\"error\":1e999", "null",
    ] {
      var played = Played { $0.order = .index }
      played.head(200, Played.graceful)
      played.data("data: \(data)\n\n")
      #expect(played.taken().count == 1)
      #expect(played.machine.result == nil)
    }
  }

  @Test func `the largest index traps nothing`() {
    var played = Played { $0.order = .index }
    played.head()
    for index in [Int.max, Int.min, 0, Int.max] { played.data("data: {\"index\":\(index)}\n\n") }
    played.over(clean: true)
    #expect(played.taken().count == 2)
  }
}
