import FermataClientCore
import Testing

/// What becomes of a stream that was cut, cancelled or paused.
struct ResumeTests {
  private static let kept = "http://host/fermata/streams/\(Played.id)"

  @Test(
    arguments: [
      (nil, kept), ("/kept/1?a=b", "http://host/kept/1?a=b"), ("http://host/kept/1", "http://host/kept/1"),
      ("//elsewhere/1", kept), ("http://elsewhere/1", kept), ("http://host.elsewhere/1", kept), ("/a b", kept),
    ] as [(String?, String)])
  func `a kept run is resumed where the server says, at the same origin`(_ named: String?, _ url: String) {
    var played = Played("POST")
    played.head(200, Played.graceful + (named.map { [(name: "X-Stream-Resume", value: $0)] } ?? []))
    played.data(Played.token(1))
    played.over()
    played.again()
    #expect(played.plan.url == url && !played.plan.isOriginal)
  }

  @Test func `the caller's own path for resuming wins`() {
    var played = Played { $0.streamPath = "/mine/{id}" }
    played.head(200, Played.graceful + [(name: "X-Stream-Resume", value: "/kept/1")])
    played.over()
    played.again()
    #expect(played.plan.url == "http://host/mine/\(Played.id)")
  }

  @Test func `where only what the server names is asked for, a gateway that keeps nothing is not`() {
    for (id, again) in [("\(Played.id).1", false), ("own-1", true)] {
      var played = Played { $0.resume = .named }
      played.head(200, Played.graceful)
      played.data("id: \(id)\ndata: a\n\n")
      played.over()
      #expect((played.machine.phase == .pause) == again, "\(id)")
      guard again else { continue }
      played.again()
      #expect(played.plan.isOriginal)
      // The backend goes on from its own id, in a stream that counts for itself.
      let other = Played.graceful.map { $0.value == Played.id ? (name: $0.name, value: "other") : $0 }
      played.head(200, other)
      played.data("id: own-2\ndata: b\n\n")
      played.data(
        #"event: stream_end"# + "\n"
          + #"data: {"type":"stream_end","outcome":"completed","events":1,"lastEventId":"own-2"}"# + "\n\n")
      #expect(played.taken() == ["a", "b"] && played.machine.result?.isVerified == true)
    }
  }

  @Test func `a cancelled run that is cut is asked once more how it ended, and cancelled once`() {
    var played = Played()
    played.head(200, Played.graceful)
    played.data(Played.token(1))
    played.machine.cancel(played.now)
    played.over()
    #expect(played.machine.phase == .send, "at once")
    played.plan = played.machine.plan(played.now)
    played.head(200, Played.graceful)
    played.data(Played.end("cancelled", 1))
    let cancellations = played.machine.effects.count { if case .cancel = $0 { true } else { false } }
    #expect(cancellations == 1)
    #expect(played.machine.result?.outcome == "cancelled" && played.machine.result?.error == nil)
  }

  @Test func `a cancelled run whose end nobody tells was left`() {
    var played = Played()
    played.head(200, Played.graceful)
    played.machine.cancel(played.now)
    played.wait(3)
    #expect(played.machine.result?.outcome == "aborted" && played.machine.result?.error == nil)
  }

  @Test func `a stream without a name that is cancelled before its head is left at its head`() {
    var played = Played()
    played.machine.cancel(played.now)
    played.head()
    #expect(played.machine.result?.outcome == "aborted")
  }

  @Test func `the end of another gateway's stream is an event`() {
    var played = Played()
    played.head(200, Played.graceful)
    played.data(Played.end("completed", 9).replacing("\"outcome\"", with: "\"streamId\":\"inner\",\"outcome\""))
    #expect(played.machine.result == nil && played.taken().count == 1)
  }

  @Test func `a feed that has nothing more ended`() {
    var played = Played { $0.profile = .feed }
    played.head()
    played.data("data: [DONE]\n\n")
    played.over(clean: true)
    played.again()
    played.head(204, [])
    #expect(played.machine.result?.outcome == "ended")
  }

  @Test func `a paused stream waits for as long as its caller wants, and goes on behind its last event`() {
    var played = Played("POST")
    played.head(200, Played.graceful)
    played.data(Played.token(1))
    let paused = played.machine.pause(played.now)
    #expect(paused && played.machine.phase == .pause)
    played.over()
    played.wait(10_000)
    #expect(played.machine.phase == .pause && played.machine.result == nil)
    played.machine.goOn(played.now)
    #expect(played.machine.phase == .send)
    played.plan = played.machine.plan(played.now)
    #expect(played.plan.lastEventID == "\(Played.id).1" && !played.plan.isOriginal)
    played.head(200, Played.graceful)
    played.data(Played.token(2) + Played.end("completed", 2))
    #expect(played.machine.result?.isVerified == true && played.machine.result?.attempts == 2)
  }

  @Test func `what can't be resumed can't be paused`() {
    for method in ["GET", "POST"] {
      var played = Played(method)
      let early = played.machine.pause(played.now)
      played.head()
      played.data("data: a\n\n")
      let late = played.machine.pause(played.now)
      #expect(!early && !late && played.machine.phase == .body)
    }
  }

  @Test func `going on ends the wait before another try at once, which still counts`() {
    var played = Played { $0.retry.attempts = 1 }
    played.head(200, Played.graceful)
    played.over()
    played.machine.goOn(played.now)
    #expect(played.machine.phase == .send)
    played.plan = played.machine.plan(played.now)
    played.over()
    #expect(played.machine.result?.outcome == "cut")
  }

  @Test func `cancelling a paused stream stops its run and hears its end`() {
    var played = Played()
    played.head(200, Played.graceful)
    _ = played.machine.pause(played.now)
    played.machine.cancel(played.now)
    #expect(played.machine.phase == .send)
    played.plan = played.machine.plan(played.now)
    played.head(200, Played.graceful)
    played.data(Played.end("cancelled", 0).replacing("\(Played.id).0", with: ""))
    #expect(played.machine.result?.outcome == "cancelled")
  }

  @Test func `tries are bounded by new events alone, not by connections, repeats or ends`() {
    for body in [":ok\n\n", Played.token(1), Played.end("draining", 1).replacing("{", with: "{\"resumable\":true,")] {
      var played = Played()
      played.head(200, Played.graceful)
      played.data(Played.token(1))
      played.over()
      for _ in 0..<5 {
        played.again()
        played.head(200, Played.graceful)
        played.data(body)
        played.over()
      }
      #expect(played.machine.result?.attempts == 6 && played.machine.result?.isComplete == false, "\(body)")
    }
  }

  @Test func `an event that shares its id with the one before is no repeat`() {
    var played = Played()
    played.head()
    played.data("id: 1\ndata: a\n\nid: 1\ndata: a\n\ndata: a\n\n")
    #expect(played.taken() == ["a", "a", "a"])
  }

  @Test func `fields that are made for each request are made again after 401, once`() {
    var played = Played { $0.headers = { ["Authorization": "\($0)"] } }
    for expected in [Machine.Phase.send, .closed] {
      played.head(401, [])
      played.over(clean: true)
      #expect(played.machine.phase == expected)
      if expected == .send { played.plan = played.machine.plan(played.now) }
    }
  }
}
