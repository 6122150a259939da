import Runs
import SSE
import Streams

// Whose a run is, what its log holds, and how it ends.
extension StoreTrial {
  func knowNothing() {
    let run = run("unknown")
    expect(
      answer("lookup") { first.lookup(run, $0) } == RunState(), "something is known of a run that nobody has begun")
    expect(answer("find key") { first.find(key: Digest([[9]]), $0) } == .some(nil), "a key has a run")
    expect(answer("find stream") { first.find(stream: token(9), $0) } == .some(nil), "a stream has a run")
    expect(answer("find name") { first.find(clientStream: Digest([[9]]), $0) } == .some(nil), "a name has a run")
    let standing = answer("standing") { first.standing(of: run, $0) }
    expect(standing == RunStanding(), "it stands somehow: \(String(describing: standing))")
  }

  func claimAtOnce() {
    let run = run("claimed")
    var claims: [Result<RunClaim, StoreFault>] = []
    for number in 1...8 {
      let store = number.isMultiple(of: 2) ? first : second
      store.claim(run, token: token(UInt64(number)), meta: meta(UInt64(number))) { claims.append($0) }
    }
    wait(for: "eight answers") { claims.count == 8 }
    expect(claims.filter { $0 == .success(.mine) }.count == 1, "not one has it: \(claims)")
    let known = answer("lookup") { second.lookup(run, $0) }
    let others = claims.filter { $0 != .success(.mine) }
    expect(known?.isOwned == true && known?.meta != nil, "its owner is not known")
    expect(others.allSatisfy { $0 == .success(.others(known?.meta)) }, "the others were told otherwise: \(others)")
  }

  func claimKeys() {
    let (key, request) = (Digest([[1]]), Digest([[2]]))
    let (mine, other) = (run("mine"), run("other"))
    expect(answer("claim") { first.claimKey(key, run: mine, request: request, $0) } == .mine, "a free key is not given")
    let attached = answer("claim again") { second.claimKey(key, run: other, request: Digest([[3]]), $0) }
    expect(attached == .attach(mine, request: request), "the key is given twice: \(String(describing: attached))")
    expect(answer("find") { second.find(key: key, $0) } == .some(mine), "the key's run is not found")
    second.releaseKey(key, run: other, request: request)
    expect(answer("find") { second.find(key: key, $0) } == .some(mine), "a stranger has released the key")
    first.releaseKey(key, run: mine, request: request)
    expect(answer("find") { first.find(key: key, $0) } == .some(nil), "the key is not released")
    expect(answer("claim") { second.claimKey(key, run: other, request: request, $0) } == .mine, "it is not free")
  }

  /// - Parameter lateBy: how many of a hundred events are there when somebody begins to follow.
  func writeAndFollow(lateBy: Int) {
    let run = run("written")
    let (log, tenure) = open(run)
    if lateBy > 0 {
      append(1...lateBy, to: log)
      wait(for: "\(lateBy) events are stored") { log.frontier == log.memory.frontier }
    }
    let followers = [follow(run, on: second), follow(run, on: first)]
    var number = lateBy
    while number < 100 {
      let next = min(100, number + 7)
      append(number + 1...next, to: log)
      number = next
      wait(for: "\(number) events are stored") { log.frontier == log.memory.frontier }
    }
    expect(log.end == nil && !log.isSettled, "it has an end before one is written")
    log.finish(Self.end(.completed, events: 100))
    wait(for: "the end is stored") { log.isSettled && log.hasEnd }
    wait(for: "followers have the end") { followers.allSatisfy { !$0.ends.isEmpty } }
    for follower in followers {
      expect(follower.numbers == Array(1...100), "not each event once and in order: \(follower.numbers)")
      expect(follower.ends.count == 1 && follower.ends.first?.outcome == .completed, "the end: \(follower.ends)")
      expect(follower.ends.first?.events == 100 && follower.other.isEmpty, "told besides: \(follower.other)")
    }
    log.close()
    tenure.release()
    let late = follow(run, on: second)
    wait(for: "who comes when it is over has the end") { !late.ends.isEmpty }
    expect(late.numbers == Array(1...100), "it is not kept: \(late.numbers)")
    let known = answer("lookup") { second.lookup(run, $0) }
    expect(known?.isOwned == false && known?.end?.outcome == .completed, "after the end: \(String(describing: known))")
  }

  func giveUp() {
    let run = run("given-up")
    let (log, tenure) = open(run)
    expect(answer("lookup") { second.lookup(run, $0) }?.isOwned == true, "nobody has it while it is held")
    log.close()
    tenure.release()
    var known: RunState?
    wait(for: "it is free") {
      self.second.lookup(run) { known = try? $0.get() }
      return known?.isOwned == false
    }
    expect(known?.meta == meta(1), "what is known of it is gone")
  }

  func abandonRuns() {
    let (read, unread) = (run("read-and-abandoned"), run("abandoned"))
    for (number, run) in [read, unread].enumerated() {
      let (log, _) = open(run, UInt64(number + 1))
      append(1...3, to: log)
      wait(for: "three events are stored") { log.frontier == log.memory.frontier }
    }
    let follower = follow(read, on: second)
    wait(for: "three events are read") { follower.numbers.count == 3 }
    abandonFirst()
    wait(for: "who follows is told") { !follower.ends.isEmpty }
    expect(follower.ends.map(\.outcome) == [.gatewayError], "the end: \(follower.ends)")
    var end: EndRecord?
    wait(for: "who asks ends it") {
      self.second.lookup(unread) { end = (try? $0.get())?.end ?? end }
      return end != nil
    }
    expect(end?.outcome == .gatewayError && end?.events == 3, "the end: \(String(describing: end))")
    expect(answer("lookup") { second.lookup(read, $0) }?.end?.reason == end?.reason, "two reasons")
  }

  func endTwice() {
    let run = run("workers")
    _ = answer("adopt") { first.adopt(run, meta: meta(1, source: .worker), $0) }
    let mismatch = answer("end behind an entry that is not the last") {
      first.endWorkers(run, Self.end(.cancelled, events: 0), ifLastIs: EntryID(7, 0), $0)
    }
    expect(mismatch == false, "it was ended though others had written")
    let ended = answer("end") { first.endWorkers(run, Self.end(.cancelled, events: 0), ifLastIs: nil, $0) }
    expect(ended == true, "it was not ended")
    let again = answer("end again") { second.endWorkers(run, Self.end(.completed, events: 0), ifLastIs: nil, $0) }
    expect(again == false, "it was ended twice")
    let follower = follow(run, on: second, by: .worker)
    wait(for: "the end is told") { !follower.ends.isEmpty }
    expect(follower.ends.map(\.outcome) == [.cancelled], "not the first end: \(follower.ends)")
  }

  func dropRun() {
    let run = run("dropped")
    let (log, tenure) = open(run)
    let follower = follow(run, on: second)
    log.close()
    tenure.drop()
    wait(for: "who waits for a stream is told") { !follower.ends.isEmpty }
    expect(follower.hasNoStream && follower.numbers.isEmpty, "it is told as an end")
  }
}
