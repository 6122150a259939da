import Runs
import SSE
import Streams
import Testing
import Time

/// Each path from a request to a verdict, with the answers written out.
struct RunAdmissionTests {
  typealias Step = RunAdmission.Step
  typealias Answer = RunAdmission.StoreAnswer

  /// What is asked of the machine, answered in order.
  private enum Reply {
    case here(UInt64?, request: Digest? = nil)
    case store(Answer)
    case place(Bool)
    case room(RunAdmission.Room)
    case later(Nanoseconds)
  }

  /// The steps that a request takes.
  private func steps(_ change: (inout AdmissionRequest) -> Void, isAway: Bool = false, _ replies: [Reply]) -> [Step] {
    var request = AdmissionRequest(principal: alice)
    request.hasStore = true
    change(&request)
    var machine = RunAdmission(request)
    var now = MonotonicTime(nanoseconds: 1)
    var steps = [machine.begin(storeIsAway: isAway)]
    for reply in replies {
      switch reply {
      case .here(let number, let request):
        let found = number.map { RunAdmission.IndexedRun(stream: stream($0), request: request) }
        steps.append(machine.indexAnswered(found))
      case .store(let answer): steps.append(machine.storeAnswered(answer, at: now))
      case .place(let isGiven): steps.append(machine.placeAnswered(isGiven))
      case .room(let room): steps.append(machine.roomAnswered(room))
      case .later(let time):
        now = now + time
        steps.append(machine.waited(storeIsAway: isAway))
      }
    }
    return steps
  }

  private func verdict(_ change: (inout AdmissionRequest) -> Void, isAway: Bool = false, _ replies: [Reply]) -> Step {
    steps(change, isAway: isAway, replies).last ?? Step(.nothing)
  }

  private static let lost = Answer.fault(StoreFault("lost"))

  // MARK: - Without a store

  @Test func `a request that names nothing begins a run`() {
    #expect(
      steps({ _ in }, [.room(.given(stream(1)))]) == [
        Step(.ask(.room)), Step(.verdict(.begin(stream(1), .inMemory))),
      ])
  }

  @Test func `a request for which there is no memory is passed on unkept, unless a key names its run`() {
    #expect(verdict({ _ in }, [.room(.noMemory)]) == Step(.verdict(.passUnkept)))
    #expect(verdict({ $0.idempotencyKey = keyDigest }, [.here(nil), .room(.noMemory)]) == refuse(.noRoom))
    #expect(verdict({ $0.name = nameDigest }, [.here(nil), .room(.noMemory)]) == refuse(.noRoom))
    #expect(verdict({ $0.clientStream = clientDigest }, [.here(nil), .room(.noMemory)]) == Step(.verdict(.passUnkept)))
  }

  @Test func `a request for which there is no connection is refused`() {
    #expect(verdict({ _ in }, [.room(.noConnections)]) == refuse(.noConnections))
  }

  @Test func `a repeated key resumes its run when the request is the same, and is refused when it is not`() {
    let repeated: (inout AdmissionRequest) -> Void = {
      $0.idempotencyKey = keyDigest
      $0.digest = bodyDigest
    }
    #expect(verdict(repeated, [.here(4, request: bodyDigest)]) == resume(4))
    #expect(verdict(repeated, [.here(4, request: otherBody)]) == refuse(.keyReused))
    #expect(verdict(repeated, [.here(4)]) == refuse(.keyReused))
  }

  @Test func `a repeat that goes on from another run reads its own from the beginning`() {
    var request = AdmissionRequest(principal: alice)
    request.idempotencyKey = keyDigest
    request.hasLastID = true
    request.lastStream = stream(9)
    var machine = RunAdmission(request)
    #expect(machine.begin(storeIsAway: false) == ask(.alias(keyDigest, startsAnew: false)))
    #expect(machine.indexAnswered(.init(stream: stream(4), request: nil)) == resume(4))
    #expect((machine.ignoresLastID as Bool))
  }

  @Test func `a repeat that goes on from its own run does so`() {
    var request = AdmissionRequest(principal: alice)
    request.idempotencyKey = keyDigest
    request.hasLastID = true
    request.lastStream = stream(4)
    var machine = RunAdmission(request)
    _ = machine.begin(storeIsAway: false)
    #expect(machine.indexAnswered(.init(stream: stream(4), request: nil)) == resume(4))
    #expect(!(machine.ignoresLastID as Bool))
  }

  @Test func `the stream that the last id names is resumed before any name is looked at`() {
    let steps = steps(
      {
        $0.lastStream = stream(2)
        $0.hasLastID = true
        $0.name = nameDigest
      }, [.here(2)])
    #expect(steps == [ask(.stream(stream(2), startsAnew: false)), resume(2)])
  }

  @Test func `a stream that is not known begins another that says so, if the client can be told`() {
    var request = AdmissionRequest(principal: alice)
    request.lastStream = stream(2)
    request.hasLastID = true
    var machine = RunAdmission(request)
    _ = machine.begin(storeIsAway: false)
    #expect(machine.indexAnswered(nil) == ask(.room))
    #expect((machine.isForeign as Bool))
    request.mayBeginAnew = false
    machine = RunAdmission(request)
    _ = machine.begin(storeIsAway: false)
    #expect(machine.indexAnswered(nil) == refuse(.unknownStream))
    #expect(!(machine.isForeign as Bool))
  }

  @Test func `a name from the path resumes whatever was asked for`() {
    #expect(verdict({ $0.name = nameDigest }, [.here(3, request: otherBody)]) == resume(3))
  }

  @Test func `a client's own name resumes when it goes on or asks for the same`() {
    let own: (inout AdmissionRequest) -> Void = {
      $0.clientStream = clientDigest
      $0.digest = bodyDigest
    }
    #expect(verdict(own, [.here(3, request: bodyDigest)]) == resume(3))
    #expect(verdict(own, [.here(3, request: otherBody)]) == ask(.room))
    #expect(
      verdict(
        {
          own(&$0)
          $0.hasLastID = true
        }, [.here(3, request: otherBody)]) == resume(3))
  }

  @Test func `two requests without a body digest are not the same`() {
    #expect(verdict({ $0.clientStream = clientDigest }, [.here(3)]) == ask(.room))
  }

  @Test func `a run that another loop has begun under the key meanwhile is resumed`() {
    var request = AdmissionRequest(principal: alice)
    request.name = nameDigest
    var machine = RunAdmission(request)
    _ = machine.begin(storeIsAway: false)
    _ = machine.indexAnswered(nil)
    #expect(machine.roomAnswered(.given(stream(1))) == Step(.verdict(.begin(stream(1), .inMemory))))
    #expect(machine.wasTaken(by: .init(stream: stream(2), request: otherBody)) == resume(2))
  }

  @Test func `a key that another request has taken on another loop meanwhile is refused`() {
    var request = AdmissionRequest(principal: alice)
    request.idempotencyKey = keyDigest
    request.digest = bodyDigest
    var machine = RunAdmission(request)
    _ = machine.begin(storeIsAway: false)
    _ = machine.indexAnswered(nil)
    _ = machine.roomAnswered(.given(stream(1)))
    #expect(machine.wasTaken(by: .init(stream: stream(2), request: otherBody)) == refuse(.keyReused))
  }

  // MARK: - Runs of other replicas

  @Test func `the stream of another replica is followed by who opened it`() throws {
    let run = try run(of: stream(2))
    let seeking: [Reply] = [.here(nil)]
    #expect(verdict(Self.goesOn, seeking) == ask(.lookup(run)))
    #expect(
      verdict(Self.goesOn, seeking + [.store(.run(known(meta(2))))])
        == Step(.verdict(.follow(run, meta(2), request: nil))))
  }

  @Test(arguments: [known(nil), known(meta(2, of: bob))])
  func `not yours and unknown look the same`(_ state: RunState) {
    let steps = steps(Self.goesOn, [.here(nil), .store(.run(state)), .store(.wait(.zero))])
    #expect(steps.suffix(2) == [ask(.remainingWait), ask(.room)])
  }

  @Test func `without an answer of the store nothing is begun in a stream's place`() {
    #expect(verdict(Self.goesOn, [.here(nil), .store(Self.lost)]) == refuse(.storeAway))
  }

  @Test func `while the store may have lost data a stream is looked for again, from the beginning`() {
    let steps = steps(
      Self.goesOn,
      [.here(nil), .store(.run(known(nil))), .store(.wait(.milliseconds(40))), .later(.milliseconds(40)), .here(2)])
    #expect(
      steps.suffix(3) == [Step(.wait(.milliseconds(40))), ask(.stream(stream(2), startsAnew: false)), resume(2)])
  }

  @Test func `a long wait is taken in pieces of 250 ms`() {
    #expect(
      verdict(Self.goesOn, [.here(nil), .store(.run(known(nil))), .store(.wait(.seconds(9)))])
        == Step(.wait(.milliseconds(250))))
  }

  @Test func `a store that loses its data for longer than a lease and two seconds counts as away`() {
    let round: [Reply] = [.here(nil), .store(.run(known(nil))), .store(.wait(.seconds(1)))]
    #expect(verdict(Self.goesOn, round + [.later(.milliseconds(11_999))] + round) == Step(.wait(.milliseconds(250))))
    #expect(verdict(Self.goesOn, round + [.later(.seconds(12))] + round) == refuse(.storeAway))
  }

  @Test func `a resume by key asks the store for the key, and a key that is there is claimed`() {
    let resuming: (inout AdmissionRequest) -> Void = {
      $0.isStored = true
      $0.hasLastID = true
      $0.idempotencyKey = keyDigest
      $0.digest = bodyDigest
    }
    #expect(
      steps(resuming, [.here(nil), .store(.named(RunID("r")))]).suffix(2) == [ask(.runOfKey(keyDigest)), ask(.room)])
    // Nothing has the key: it goes on from what is not known.
    #expect(verdict(resuming, [.here(nil), .store(.named(nil))]) == ask(.room))
  }

  @Test func `a client's own name leads to the run that it last read, on whatever replica`() throws {
    let use = ClientStreamUse(run: try run(of: stream(2)), request: bodyDigest)
    let asked: [Reply] = [.here(nil), .store(.used(use)), .store(.run(known(meta(2))))]
    #expect(verdict(Self.named, asked) == ask(.stream(stream(2), startsAnew: false)))
    #expect(
      verdict(Self.named, asked + [.here(nil)]) == Step(.verdict(.follow(use.run, meta(2), request: bodyDigest))))
    #expect(verdict(Self.named, asked + [.here(2)]) == resume(2))
  }

  @Test func `a name under which something else was asked for begins another run`() throws {
    let use = ClientStreamUse(run: try run(of: stream(2)), request: otherBody)
    #expect(verdict(Self.named, [.here(nil), .store(.used(use))]) == ask(.room))
  }

  @Test(arguments: [known(nil), known(meta(2, of: bob)), known(meta(2, by: .worker))])
  func `a name that leads to nobody's, another's or a worker's run begins another`(_ state: RunState) throws {
    let use = ClientStreamUse(run: try run(of: stream(2)), request: bodyDigest)
    #expect(verdict(Self.named, [.here(nil), .store(.used(use)), .store(.run(state))]) == ask(.room))
  }

  @Test func `names are not asked for while the store is away`() {
    #expect(verdict(Self.named, isAway: true, [.here(nil)]) == ask(.room))
    #expect(verdict(Self.named, [.here(nil), .store(Self.lost)]) == ask(.room))
  }

  @Test func `who goes on from an event gets no other run because the store can't say which it means`() throws {
    let resuming: @Sendable (inout AdmissionRequest) -> Void = {
      Self.named(&$0)
      $0.hasLastID = true
    }
    let keyed: @Sendable (inout AdmissionRequest) -> Void = {
      Self.keyed(&$0)
      $0.hasLastID = true
    }
    let use = ClientStreamUse(run: try run(of: stream(2)), request: bodyDigest)
    for replies: [Reply] in [
      [.here(nil), .store(Self.lost)], [.here(nil), .store(.used(nil)), .store(Self.lost)],
      [.here(nil), .store(.used(use)), .store(Self.lost)],
    ] {
      #expect(verdict(resuming, replies) == refuse(.storeAway))
    }
    #expect(verdict(keyed, [.here(nil), .store(Self.lost)]) == refuse(.storeAway))
    for request in [resuming, keyed] { #expect(verdict(request, isAway: true, [.here(nil)]) == refuse(.storeAway)) }
  }

  @Test func `a key that may be claimed for a run that is refused is released`() throws {
    let strict: @Sendable (inout AdmissionRequest) -> Void = {
      Self.keyed(&$0)
      $0.goesOnWithoutStore = false
    }
    let loss = RunAdmission.Loss(stream: stream(1), fault: StoreFault("lost"))
    let released = Step(.verdict(.refuse(.storeAway)), releasing: try run(of: stream(1)), lost: loss)
    #expect(verdict(strict, Self.claimingKey + [.store(Self.lost)]) == released)
    #expect(verdict(strict, Self.claimingKey + [.store(.key(.mine)), .store(Self.lost)]) == released)
  }

  @Test func `a name of which nothing is known counts only when the store has lost nothing`() {
    let asked: [Reply] = [.here(nil), .store(.used(nil))]
    #expect(verdict(Self.named, asked) == ask(.remainingWait))
    #expect(verdict(Self.named, asked + [.store(.wait(.zero))]) == ask(.room))
    #expect(verdict(Self.named, asked + [.store(.wait(.milliseconds(5)))]) == Step(.wait(.milliseconds(5))))
    #expect(verdict(Self.named, asked + [.store(Self.lost)]) == ask(.room))
  }

  // MARK: - Claims

  @Test func `a run without a key is claimed, then begun`() throws {
    let id = try run(of: stream(1))
    #expect(
      steps({ $0.isStored = true }, [.room(.given(stream(1))), .place(true), .store(.claim(.mine))]) == [
        ask(.room), ask(.place), ask(.claim(id, stream(1))), Step(.verdict(.begin(stream(1), .inStore))),
      ])
  }

  @Test func `a client that has used its places in the store is passed on unkept, and with a key refused`() throws {
    #expect(
      verdict({ $0.isStored = true }, [.room(.given(stream(1))), .place(false)]) == Step(.verdict(.passUnkept)))
    let id = try run(of: stream(1))
    #expect(
      verdict(Self.keyed, [.here(nil), .room(.given(stream(1))), .place(false), .store(.key(.mine))])
        == Step(.verdict(.refuse(.noRoom)), releasing: id))
  }

  @Test func `a key that is granted is followed by the run's own claim`() throws {
    let id = try run(of: stream(1))
    #expect(
      steps(Self.keyed, Self.claimingKey + [.store(.key(.mine)), .store(.claim(.mine))]).suffix(3) == [
        ask(.claimKey(keyDigest, id, request: bodyDigest)), ask(.claim(id, stream(1))),
        Step(.verdict(.begin(stream(1), .inStore))),
      ])
  }

  @Test(arguments: [Answer.fault(StoreFault("lost")), .claim(.others(nil)), .claim(.others(meta(1)))])
  func `a run that can't be claimed begins without the store, or is refused where that is set`(_ answer: Answer) {
    var fault: StoreFault?
    if case .fault(let reason) = answer { fault = reason }
    let loss = RunAdmission.Loss(stream: stream(1), fault: fault)
    let replies: [Reply] = [.room(.given(stream(1))), .place(true), .store(answer)]
    #expect(
      verdict({ $0.isStored = true }, replies) == Step(.verdict(.begin(stream(1), .degraded)), lost: loss))
    #expect(
      verdict(
        {
          $0.isStored = true
          $0.goesOnWithoutStore = false
        }, replies) == Step(.verdict(.refuse(.storeAway)), lost: loss))
  }

  @Test func `a key that can't be claimed is a loss too`() {
    #expect(
      verdict(Self.keyed, Self.claimingKey + [.store(Self.lost)])
        == Step(
          .verdict(.begin(stream(1), .degraded)),
          lost: RunAdmission.Loss(stream: stream(1), fault: StoreFault("lost"))))
  }

  @Test func `a route that keeps its runs in a store that there is not begins without it`() {
    #expect(
      verdict(
        {
          $0.isStored = true
          $0.hasStore = false
        }, [.room(.given(stream(1)))])
        == Step(.verdict(.begin(stream(1), .degraded)), lost: RunAdmission.Loss(stream: stream(1), fault: nil)))
  }

  @Test func `a key whose holder the store may have forgotten is asked for again`() {
    #expect(
      steps(
        Self.keyed, Self.claimingKey + [.store(.key(.wait(.milliseconds(30)))), .later(.milliseconds(30)), .here(nil)]
      ).suffix(3) == [
        Step(.wait(.milliseconds(30))), ask(.alias(keyDigest, startsAnew: true)), ask(.room),
      ])
  }

  // MARK: - The run of another request with the key

  @Test func `the run of the key's first request is followed where it is`() throws {
    let first = try run(of: stream(7))
    let attached = Self.claimingKey + [.store(.key(.attach(first, request: bodyDigest)))]
    #expect(verdict(Self.keyed, attached) == ask(.stream(stream(7), startsAnew: true)))
    #expect(verdict(Self.keyed, attached + [.here(7)]) == resume(7))
    #expect(verdict(Self.keyed, attached + [.here(nil)]) == ask(.lookup(first)))
    #expect(
      verdict(Self.keyed, attached + [.here(nil), .store(.run(known(meta(7)))), .here(nil)])
        == Step(.verdict(.follow(first, meta(7), request: nil))))
    // Another loop has begun it while the store was asked.
    #expect(verdict(Self.keyed, attached + [.here(nil), .store(.run(known(meta(7)))), .here(7)]) == resume(7))
  }

  @Test func `a key of another request is refused on every replica`() throws {
    let first = try run(of: stream(7))
    #expect(
      verdict(Self.keyed, Self.claimingKey + [.store(.key(.attach(first, request: otherBody)))]) == refuse(.keyReused))
  }

  @Test func `a run of the key that is just beginning is looked for 60 times, 50 ms apart`() throws {
    let first = try run(of: stream(7))
    var replies = Self.claimingKey + [.store(.key(.attach(first, request: bodyDigest)))]
    for _ in 0..<60 {
      replies += [.here(nil), .store(.run(known(nil)))]
      #expect(verdict(Self.keyed, replies) == Step(.wait(.milliseconds(50))))
      replies.append(.later(.milliseconds(50)))
    }
    #expect(verdict(Self.keyed, replies + [.here(nil), .store(.run(known(nil)))]) == refuse(.storeAway))
  }

  @Test func `a store without an answer is asked four times for the run of a key`() throws {
    let first = try run(of: stream(7))
    var replies = Self.claimingKey + [.store(.key(.attach(first, request: bodyDigest)))]
    for _ in 0..<3 {
      replies += [.here(nil), .store(Self.lost)]
      #expect(verdict(Self.keyed, replies) == Step(.wait(.milliseconds(50))))
      replies.append(.later(.milliseconds(50)))
    }
    #expect(verdict(Self.keyed, replies + [.here(nil), .store(Self.lost)]) == refuse(.storeAway))
  }

  @Test func `a run that a gateway has ended gives its key back to who wants the answer from its beginning`() throws {
    let first = try run(of: stream(7))
    let attached =
      Self.claimingKey + [
        .store(.key(.attach(first, request: bodyDigest))), .here(nil),
        .store(.run(known(meta(7), ended: .gatewayError))),
      ]
    #expect(verdict(Self.keyed, attached) == Step(.wait(.milliseconds(1)), releasing: first))
    #expect(
      verdict(Self.keyed, attached + [.later(.milliseconds(1))]) == ask(.alias(keyDigest, startsAnew: true)))
  }

  @Test func `a run that its backend has completed keeps its key`() throws {
    let first = try run(of: stream(7))
    #expect(
      verdict(
        Self.keyed,
        Self.claimingKey + [
          .store(.key(.attach(first, request: bodyDigest))), .here(nil),
          .store(.run(known(meta(7), ended: .completed))),
        ]) == ask(.stream(stream(7), startsAnew: false)))
  }

  // MARK: - Runs that workers write

  @Test func `a worker's run is adopted, and followed by its principal alone`() throws {
    let id = try #require(RunID("job-1"))
    let job: (inout AdmissionRequest) -> Void = { $0.workerRun = "job-1" }
    #expect(
      steps(job, [.place(true), .store(.adopted(meta(1, by: .worker)))]) == [
        ask(.place), ask(.adopt(id)), Step(.verdict(.follow(id, meta(1, by: .worker), request: nil))),
      ])
    #expect(verdict(job, [.place(true), .store(.adopted(meta(1, of: bob, by: .worker)))]) == refuse(.unknownRun))
    #expect(verdict(job, [.place(true), .store(Self.lost)]) == refuse(.storeAway))
  }

  @Test func `a client without places reads a worker's run only when the store knows it already`() throws {
    let id = try #require(RunID("job-1"))
    let job: (inout AdmissionRequest) -> Void = { $0.workerRun = "job-1" }
    #expect(verdict(job, [.place(false)]) == ask(.lookup(id)))
    #expect(
      verdict(job, [.place(false), .store(.run(known(meta(1, by: .worker))))])
        == Step(.verdict(.follow(id, meta(1, by: .worker), request: nil))))
    #expect(verdict(job, [.place(false), .store(.run(known(nil)))]) == refuse(.noRoom))
    #expect(verdict(job, [.place(false), .store(Self.lost)]) == refuse(.storeAway))
  }

  @Test func `a worker's run can be named by its stream`() throws {
    let id = try #require(RunID("job-1"))
    let job: (inout AdmissionRequest) -> Void = { $0.workerRun = stream(3).description }
    #expect(steps(job, []) == [ask(.runOfStream(stream(3)))])
    #expect(steps(job, [.store(.named(id)), .place(true)]).last == ask(.adopt(id)))
    // A worker may name its run as streams are named.
    #expect(steps(job, [.store(.named(nil)), .place(true)]).last == ask(.adopt(try run(of: stream(3)))))
    #expect(verdict(job, [.store(Self.lost)]) == refuse(.storeAway))
  }

  @Test(arguments: ["", "a b", "a/b", String(repeating: "a", count: 129)])
  func `what can't be a run's id is unknown without asking`(_ name: String) {
    #expect(steps({ $0.workerRun = name }, []) == [refuse(.unknownRun)])
  }

  @Test func `without a store a worker's run is unknown`() {
    #expect(
      steps(
        {
          $0.workerRun = "job-1"
          $0.hasStore = false
        }, []) == [refuse(.unknownRun)])
  }

  // MARK: - The client leaves

  private func left(after replies: Int, _ answer: Answer) -> Step {
    var request = AdmissionRequest(principal: alice)
    Self.keyed(&request)
    request.hasStore = true
    var machine = RunAdmission(request)
    _ = machine.begin(storeIsAway: false)
    _ = machine.indexAnswered(nil)
    _ = machine.roomAnswered(.given(stream(1)))
    _ = machine.placeAnswered(true)
    if replies > 0 { _ = machine.storeAnswered(.key(.mine), at: .zero) }
    #expect((machine.isWaiting as Bool))
    machine.clientLeft()
    machine.clientLeft()
    #expect(!(machine.isWaiting as Bool))
    defer { #expect(machine.storeAnswered(answer, at: .zero) == Step(.nothing)) }
    return machine.storeAnswered(answer, at: .zero)
  }

  @Test func `a key that is granted to a client that has left is given back`() throws {
    #expect(left(after: 0, .key(.mine)) == Step(.nothing, releasing: try run(of: stream(1))))
    #expect(left(after: 0, .key(.wait(.zero))) == Step(.nothing))
    // It may be granted, and the answer lost.
    #expect(left(after: 0, Self.lost) == Step(.nothing, releasing: try run(of: stream(1))))
  }

  @Test func `a run that is claimed for a client that has left is given up`() throws {
    #expect(left(after: 1, .claim(.mine)) == Step(.giveUp))
    // The key was granted before.
    let unbound = Step(.nothing, releasing: try run(of: stream(1)))
    #expect(left(after: 1, .claim(.others(nil))) == unbound)
    #expect(left(after: 1, Self.lost) == unbound)
  }

  @Test func `after the client has left nothing is asked`() {
    var request = AdmissionRequest(principal: alice)
    Self.goesOn(&request)
    request.hasStore = true
    var machine = RunAdmission(request)
    _ = machine.begin(storeIsAway: false)
    _ = machine.indexAnswered(nil)
    machine.clientLeft()
    #expect(machine.storeAnswered(.run(known(meta(2))), at: .zero) == Step(.nothing))
    #expect(machine.waited(storeIsAway: false) == Step(.nothing))
    #expect(machine.indexAnswered(nil) == Step(.nothing))
    #expect(machine.begin(storeIsAway: false) == Step(.nothing))
  }

  @Test func `an answer that nobody has asked for changes nothing`() {
    var machine = RunAdmission(AdmissionRequest(principal: alice))
    #expect(machine.storeAnswered(.named(nil), at: .zero) == Step(.nothing))
    #expect(machine.placeAnswered(true) == Step(.nothing))
    #expect(machine.roomAnswered(.noMemory) == Step(.nothing))
    #expect(machine.begin(storeIsAway: false) == ask(.room))
    #expect(machine.storeAnswered(.claim(.mine), at: .zero) == Step(.nothing))
    #expect(machine.placeAnswered(true) == Step(.nothing))
    #expect(machine.roomAnswered(.given(stream(1))) == Step(.verdict(.begin(stream(1), .inMemory))))
  }

  // MARK: - Words

  private static let goesOn: @Sendable (inout AdmissionRequest) -> Void = {
    $0.isStored = true
    $0.hasLastID = true
    $0.lastStream = stream(2)
  }

  private static let named: @Sendable (inout AdmissionRequest) -> Void = {
    $0.isStored = true
    $0.clientStream = clientDigest
    $0.digest = bodyDigest
  }

  private static let keyed: @Sendable (inout AdmissionRequest) -> Void = {
    $0.isStored = true
    $0.idempotencyKey = keyDigest
    $0.digest = bodyDigest
  }

  private static let claimingKey: [Reply] = [.here(nil), .room(.given(stream(1))), .place(true)]

  private func ask(_ question: RunAdmission.Question) -> Step { Step(.ask(question)) }
  private func resume(_ number: UInt64) -> Step { Step(.verdict(.resume(stream(number)))) }
  private func refuse(_ reason: RunAdmission.Reason) -> Step { Step(.verdict(.refuse(reason))) }
}

extension MonotonicTime {
  fileprivate static let zero = MonotonicTime(nanoseconds: 0)
}
