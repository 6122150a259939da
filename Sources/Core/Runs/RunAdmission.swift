import SSE
import Streams
package import Time

/// Decides which run a request means, or that one is begun for it: from the facts of the request, and from what the index
/// of this process and the store of all replicas answer.
///
/// Knows no loop, no store and no client. Each answer gives the next step: a question, a wait, or the verdict.
package struct RunAdmission: ~Copyable {
  private enum State: ~Copyable {
    case ready

    // What this process knows. The index answers at once.
    case findingKey
    case findingStream(StreamID)
    case findingName
    case findingClientStream

    // What other replicas know, by what the client says it has had.
    case seeking(RunID)
    case seekingKey
    case seekingClientStream
    case lookingUpUse(ClientStreamUse)
    /// Nothing was found, which counts unless the store has just lost data. → waitingToFind, makingRoom, over
    case seekingWait(isForeign: Bool)
    case waitingToFind

    // A run of this gateway's.
    case makingRoom
    case takingPlace(StreamID)
    case claimingKey(StreamID, hasPlace: Bool)
    case claiming(StreamID)

    // The run that another request of the same key has begun.
    case findingJoined(Join)
    case lookingUpJoined(Join)
    case waitingToJoin(Join)

    /// The run is known; this process may have it meanwhile, else it is followed.
    case findingFollowed(Verdict)

    // A run that a worker writes.
    case findingWorkers(RunID)
    case takingWorkersPlace(RunID)
    case adopting(RunID)
    case lookingUpWorkers(RunID)

    /// The verdict is given. A run that is to begin may turn out to have been begun by another loop. → over
    case over
    /// The client left while a claim was under way: if it is granted it has to be given back. → over
    case leftClaimingKey(StreamID)
    case leftClaiming(StreamID)
  }

  /// A run that was begun under the request's key.
  private struct Join {
    var run: RunID
    var tries = 60
  }

  /// A store that loses its data again and again is as good as none after its lease and this time.
  private static let patience = Nanoseconds.seconds(2)

  private var state: State
  private var facts: Facts

  /// What holds in every state.
  private struct Facts {
    var request: AdmissionRequest
    var isForeign = false
    var ignoresLastID = false
    var nameIsStored = false
    var storeIsAway = false
    /// Since when the request waits because the store may have lost what it knew of it.
    var waitingSince: MonotonicTime?

    /// The request repeats one whose run it reads from the beginning, unless it goes on behind an event of that run.
    mutating func repeats(_ run: StreamID) {
      guard let last = request.lastStream, last != run else { return }
      ignoresLastID = true
      request.hasLastID = false
      request.lastStream = nil
    }
  }

  private struct Move: ~Copyable {
    let state: State
    let step: Step

    init(_ state: consuming State, _ step: Step) {
      self.state = state
      self.step = step
    }

    static func ask(_ question: Question, _ state: consuming State) -> Move { Move(state, Step(.ask(question))) }
    static func end(_ verdict: Verdict, releasing run: RunID? = nil) -> Move {
      Move(.over, Step(.verdict(verdict), releasing: run))
    }
    static func refuse(_ reason: Reason, releasing run: RunID? = nil) -> Move { end(.refuse(reason), releasing: run) }
  }

  package init(_ request: AdmissionRequest) {
    state = .ready
    facts = Facts(request: request)
  }

  /// Whether the client names a run that is not known: it must be told, and gets a new one.
  package var isForeign: Bool { facts.isForeign }
  /// Whether the event that the client says it has counts for nothing: the run is read from its beginning.
  package var ignoresLastID: Bool { facts.ignoresLastID }
  /// Whether the store has the client's own name for its stream.
  package var nameIsStored: Bool { facts.nameIsStored }
  /// Whether an answer of the store, or a time, is waited for.
  package var isWaiting: Bool {
    switch state {
    case .ready: false
    case .over: false
    case .leftClaimingKey: false
    case .leftClaiming: false
    default: true
    }
  }

  /// The one place where the state changes.
  private mutating func advance(_ decide: (consuming State, inout Facts) -> Move) -> Step {
    var before = State.over
    swap(&before, &state)
    let move = decide(before, &facts)
    let step = move.step
    state = move.state
    return step
  }

  // MARK: - Beginning

  /// - Parameter storeIsAway: whether the store is known not to be had now.
  package mutating func begin(storeIsAway: Bool) -> Step {
    facts.storeIsAway = storeIsAway
    return advance { Self.begun($0, &$1) }
  }

  private static func begun(_ state: consuming State, _ facts: inout Facts) -> Move {
    switch consume state {
    case .ready: return Self.first(&facts)
    case let other: return Move(other, Step(.nothing))
    }
  }

  /// The time that a step asked for has passed.
  package mutating func waited(storeIsAway: Bool) -> Step {
    facts.storeIsAway = storeIsAway
    return advance { Self.waited($0, &$1) }
  }

  private static func waited(_ state: consuming State, _ facts: inout Facts) -> Move {
    switch consume state {
    case .waitingToFind: return Self.findKey(&facts)
    case .waitingToJoin(let join): return Self.join(join, facts)
    case let other: return Move(other, Step(.nothing))
    }
  }

  /// The client left. A claim that is under way is given back when it is granted.
  package mutating func clientLeft() {
    _ = advance { state, _ in
      switch consume state {
      case .claimingKey(let stream, _): Move(.leftClaimingKey(stream), Step(.nothing))
      case .claiming(let stream): Move(.leftClaiming(stream), Step(.nothing))
      case .leftClaimingKey(let stream): Move(.leftClaimingKey(stream), Step(.nothing))
      case .leftClaiming(let stream): Move(.leftClaiming(stream), Step(.nothing))
      default: Move(.over, Step(.nothing))
      }
    }
  }

  /// The run that the verdict began was begun by another loop meanwhile.
  package mutating func wasTaken(by run: IndexedRun) -> Step {
    advance { _, facts in
      facts.request.idempotencyKey == nil ? .end(.resume(run.stream)) : Self.repeated(run, &facts)
    }
  }

  private static func first(_ facts: inout Facts) -> Move {
    guard let name = facts.request.workerRun else { return findKey(&facts) }
    guard facts.request.hasStore, let run = RunID(name) else { return .refuse(.unknownRun) }
    guard let stream = StreamID(parsing: name.utf8Span.span) else { return .ask(.place, .takingWorkersPlace(run)) }
    return .ask(.runOfStream(stream), .findingWorkers(run))
  }

  // MARK: - What this process knows

  /// The index has answered.
  package mutating func indexAnswered(_ run: IndexedRun?) -> Step {
    advance { Self.indexed($0, run, &$1) }
  }

  private static func indexed(_ state: consuming State, _ run: IndexedRun?, _ facts: inout Facts) -> Move {
    switch consume state {
    case .findingKey:
      return run.map { Self.repeated($0, &facts) } ?? Self.findStream(&facts)
    case .findingStream(let stream):
      if run != nil { return .end(.resume(stream)) }
      return facts.request.isStored ? Self.seek(stream, &facts) : Self.foreign(&facts)
    case .findingName:
      return run.map { .end(.resume($0.stream)) } ?? Self.findClientStream(&facts)
    case .findingClientStream:
      if let run, facts.request.hasLastID || (facts.request.digest != nil && facts.request.digest == run.request) {
        return .end(.resume(run.stream))
      }
      return Self.findElsewhere(&facts)
    case .findingJoined(let join):
      if let run { return .end(.resume(run.stream)) }
      return .ask(.lookup(join.run), .lookingUpJoined(join))
    case .findingFollowed(let follow): return .end(run.map { .resume($0.stream) } ?? follow)
    case let other: return Move(other, Step(.nothing))
    }
  }

  private static func findKey(_ facts: inout Facts) -> Move {
    guard let key = facts.request.idempotencyKey else { return findStream(&facts) }
    return .ask(.alias(key, startsAnew: facts.request.startsAnew), .findingKey)
  }

  private static func findStream(_ facts: inout Facts) -> Move {
    guard let stream = facts.request.lastStream else { return findName(&facts) }
    return .ask(.stream(stream, startsAnew: false), .findingStream(stream))
  }

  private static func findName(_ facts: inout Facts) -> Move {
    guard let name = facts.request.name else { return findClientStream(&facts) }
    return .ask(.alias(name, startsAnew: facts.request.startsAnew), .findingName)
  }

  private static func findClientStream(_ facts: inout Facts) -> Move {
    guard let own = facts.request.clientStream else { return findElsewhere(&facts) }
    return .ask(.alias(own, startsAnew: facts.request.startsAnew), .findingClientStream)
  }

  /// The key was used before.
  private static func repeated(_ run: IndexedRun, _ facts: inout Facts) -> Move {
    guard run.request == facts.request.digest else { return .refuse(.keyReused) }
    facts.repeats(run.stream)
    return .end(.resume(run.stream))
  }

  /// No run is known that the request could mean.
  private static func goOn(_ facts: inout Facts) -> Move {
    facts.request.hasLastID ? foreign(&facts) : .ask(.room, .makingRoom)
  }

  /// It goes on from a run that is not known here, or not to this client.
  private static func foreign(_ facts: inout Facts) -> Move {
    guard facts.request.mayBeginAnew else { return .refuse(.unknownStream) }
    facts.isForeign = true
    return .ask(.room, .makingRoom)
  }

  // MARK: - What other replicas know

  private static func seek(_ stream: StreamID, _ facts: inout Facts) -> Move {
    guard facts.request.hasStore, let run = RunID(stream.description) else { return foreign(&facts) }
    return .ask(.lookup(run), .seeking(run))
  }

  private static func findElsewhere(_ facts: inout Facts) -> Move {
    guard facts.request.isStored, facts.request.mayBeKnownElsewhere, facts.request.hasStore else { return goOn(&facts) }
    guard !facts.storeIsAway else { return notFound(&facts) }
    guard facts.request.hasLastID, let key = facts.request.key else { return seekClientStream(&facts) }
    return .ask(.runOfKey(key), .seekingKey)
  }

  /// The store can't say which run the request means. One that goes on from an event would get another in its place.
  private static func notFound(_ facts: inout Facts) -> Move {
    facts.request.hasLastID ? .refuse(.storeAway) : goOn(&facts)
  }

  private static func seekClientStream(_ facts: inout Facts) -> Move {
    guard let own = facts.request.clientStream else { return goOn(&facts) }
    return .ask(.runOfClientStream(own), .seekingClientStream)
  }

  /// Looks for the run again, from the beginning, when `left` has passed or somebody may have said whose it is.
  private static func findAgain(
    in left: Nanoseconds, _ facts: inout Facts, _ now: MonotonicTime, releasing run: RunID? = nil
  ) -> Move {
    let since = facts.waitingSince ?? now
    facts.waitingSince = since
    guard now - since < facts.request.lease + patience else { return .refuse(.storeAway, releasing: run) }
    return Move(.waitingToFind, Step(.wait(min(left, .milliseconds(250))), releasing: run))
  }

  /// The store has answered.
  package mutating func storeAnswered(_ answer: StoreAnswer, at now: MonotonicTime) -> Step {
    advance { Self.told($0, answer, &$1, now) }
  }

  private static func told(
    _ state: consuming State, _ answer: StoreAnswer, _ facts: inout Facts, _ now: MonotonicTime
  ) -> Move {
    switch consume state {
    case .seeking(let run): return Self.sought(run, answer, facts)
    case .seekingKey:
      // The key is there: it is claimed, which finds its run and compares the requests.
      guard case .named(let run) = answer else { return Self.notFound(&facts) }
      return run == nil ? Self.seekClientStream(&facts) : .ask(.room, .makingRoom)
    case .seekingClientStream: return Self.clientStreamSought(answer, &facts)
    case .lookingUpUse(let use):
      guard case .run(let known) = answer else { return Self.notFound(&facts) }
      guard let meta = known.meta, meta.source == .gateway, meta.principal == facts.request.principal else {
        return Self.goOn(&facts)
      }
      facts.nameIsStored = true
      let follow = Verdict.follow(use.run, meta, request: use.request)
      return .ask(.stream(meta.stream, startsAnew: false), .findingFollowed(follow))
    case .seekingWait(let isForeign):
      guard case .wait(let left) = answer else { return Self.notFound(&facts) }
      if left > .zero { return Self.findAgain(in: left, &facts, now) }
      return isForeign ? Self.foreign(&facts) : Self.goOn(&facts)
    case .claimingKey(let stream, let hasPlace):
      return Self.keyClaimed(stream, hasPlace: hasPlace, answer, &facts, now)
    case .claiming(let stream): return Self.claimed(stream, answer, &facts)
    case .lookingUpJoined(let join): return Self.joinedLookedUp(join, answer, &facts, now)
    case .findingWorkers(let run):
      guard case .named(let named) = answer else { return .refuse(.storeAway) }
      return .ask(.place, .takingWorkersPlace(named ?? run))
    case .adopting(let run): return Self.adopted(run, answer, facts)
    case .lookingUpWorkers(let run):
      guard case .run(let known) = answer else { return .refuse(.storeAway) }
      guard let meta = known.meta else { return .refuse(.noRoom) }
      return Self.readWorkers(run, meta, facts)
    case .leftClaimingKey(let stream):
      // Without an answer it may be granted all the same.
      if case .key(let claim) = answer, claim != .mine { return Move(.over, Step(.nothing)) }
      return Move(.over, Step(.nothing, releasing: RunID(stream.description)))
    case .leftClaiming(let stream):
      if answer == .claim(.mine) { return Move(.over, Step(.giveUp)) }
      return Move(.over, Step(.nothing, releasing: facts.request.key == nil ? nil : RunID(stream.description)))
    case let other: return Move(other, Step(.nothing))
    }
  }

  private static func sought(_ run: RunID, _ answer: StoreAnswer, _ facts: Facts) -> Move {
    guard case .run(let known) = answer else { return .refuse(.storeAway) }
    guard let meta = known.meta, meta.principal == facts.request.principal else {
      return .ask(.remainingWait, .seekingWait(isForeign: true))
    }
    return .end(.follow(run, meta, request: nil))
  }

  private static func clientStreamSought(_ answer: StoreAnswer, _ facts: inout Facts) -> Move {
    guard case .used(let use) = answer else { return notFound(&facts) }
    guard let use else { return .ask(.remainingWait, .seekingWait(isForeign: false)) }
    guard facts.request.hasLastID || (facts.request.digest != nil && facts.request.digest == use.request) else {
      return goOn(&facts)
    }
    return .ask(.lookup(use.run), .lookingUpUse(use))
  }

  // MARK: - A run of this gateway's

  /// Whether one more run may be kept.
  package mutating func roomAnswered(_ room: Room) -> Step {
    advance { Self.roomAnswered($0, room, $1) }
  }

  private static func roomAnswered(_ state: consuming State, _ room: Room, _ facts: Facts) -> Move {
    switch consume state {
    case .makingRoom: return Self.roomMade(room, facts)
    case let other: return Move(other, Step(.nothing))
    }
  }

  private static func roomMade(_ room: Room, _ facts: Facts) -> Move {
    switch room {
    case .noConnections: return .refuse(.noConnections)
    case .noMemory: return unkept(facts)
    case .given(let stream):
      guard facts.request.isStored else { return .end(.begin(stream, .inMemory)) }
      guard facts.request.hasStore, RunID(stream.description) != nil else { return storeFailed(stream, nil, facts) }
      return .ask(.place, .takingPlace(stream))
    }
  }

  /// Whether the store may keep one thing more for the client.
  package mutating func placeAnswered(_ isGiven: Bool) -> Step {
    advance { Self.placed($0, isGiven, $1) }
  }

  private static func placed(_ state: consuming State, _ isGiven: Bool, _ facts: Facts) -> Move {
    switch consume state {
    case .takingPlace(let stream): return Self.claim(stream, hasPlace: isGiven, facts)
    case .takingWorkersPlace(let run):
      // A worker's run that nobody has read yet would be one thing more that the store keeps.
      return isGiven ? .ask(.adopt(run), .adopting(run)) : .ask(.lookup(run), .lookingUpWorkers(run))
    case let other: return Move(other, Step(.nothing))
    }
  }

  private static func claim(_ stream: StreamID, hasPlace: Bool, _ facts: Facts) -> Move {
    guard let run = RunID(stream.description) else { return storeFailed(stream, nil, facts) }
    if let key = facts.request.key, let request = facts.request.keyedDigest {
      // Without a place too: the key may name a run that is kept already.
      return .ask(.claimKey(key, run, request: request), .claimingKey(stream, hasPlace: hasPlace))
    }
    return hasPlace ? .ask(.claim(run, stream), .claiming(stream)) : unkept(facts)
  }

  private static func keyClaimed(
    _ stream: StreamID, hasPlace: Bool, _ answer: StoreAnswer, _ facts: inout Facts, _ now: MonotonicTime
  ) -> Move {
    guard let run = RunID(stream.description) else { return storeFailed(stream, nil, facts) }
    switch answer {
    case .key(.mine):
      return hasPlace ? .ask(.claim(run, stream), .claiming(stream)) : .refuse(.noRoom, releasing: run)
    case .key(.attach(let other, let first)):
      guard first == facts.request.keyedDigest else { return .refuse(.keyReused) }
      if facts.request.idempotencyKey != nil, let stream = StreamID(parsing: other.description.utf8Span.span) {
        facts.repeats(stream)
      }
      return join(Join(run: other), facts)
    case .key(.wait(let left)): return findAgain(in: left, &facts, now)
    case .fault(let fault): return storeFailed(stream, fault, facts)
    default: return storeFailed(stream, nil, facts)
    }
  }

  private static func claimed(_ stream: StreamID, _ answer: StoreAnswer, _ facts: inout Facts) -> Move {
    guard answer == .claim(.mine) else {
      if case .fault(let fault) = answer { return storeFailed(stream, fault, facts) }
      return storeFailed(stream, nil, facts)
    }
    facts.nameIsStored = true
    return .end(.begin(stream, .inStore))
  }

  /// There is no room for another run. One that a key names must not be without its log: it could be made twice.
  private static func unkept(_ facts: Facts) -> Move {
    facts.request.key == nil ? .end(.passUnkept) : .refuse(.noRoom)
  }

  private static func storeFailed(_ stream: StreamID, _ fault: StoreFault?, _ facts: Facts) -> Move {
    let lost = Loss(stream: stream, fault: fault)
    if facts.request.goesOnWithoutStore {
      return Move(.over, Step(.verdict(.begin(stream, .degraded)), lost: lost))
    }
    // The key may be claimed, and must not lead to a run that never begins.
    let run = facts.request.key == nil ? nil : RunID(stream.description)
    return Move(.over, Step(.verdict(.refuse(.storeAway)), releasing: run, lost: lost))
  }

  // MARK: - The run of another request

  /// Reads the run that the first request of this key has started, here or elsewhere. It may be just beginning.
  private static func join(_ join: Join, _ facts: Facts) -> Move {
    guard let stream = StreamID(parsing: join.run.description.utf8Span.span) else {
      return .ask(.lookup(join.run), .lookingUpJoined(join))
    }
    return .ask(.stream(stream, startsAnew: facts.request.startsAnew), .findingJoined(join))
  }

  private static func joinedLookedUp(
    _ join: Join, _ answer: StoreAnswer, _ facts: inout Facts, _ now: MonotonicTime
  ) -> Move {
    var cost = 20
    if case .run(let known) = answer {
      if let meta = known.meta, meta.principal == facts.request.principal {
        if facts.request.startsAnew, known.end?.outcome.isGatewaysOwn == true {
          // Whoever read it has been told. Of several that come now one gets the key.
          return findAgain(in: .milliseconds(1), &facts, now, releasing: join.run)
        }
        // Another loop of this process may have begun it meanwhile.
        let follow = Verdict.follow(join.run, meta, request: nil)
        return .ask(.stream(meta.stream, startsAnew: false), .findingFollowed(follow))
      }
      cost = 1
    }
    guard join.tries >= cost else { return .refuse(.storeAway) }
    var join = join
    join.tries -= cost
    return Move(.waitingToJoin(join), Step(.wait(.milliseconds(50))))
  }

  // MARK: - A run that a worker writes

  private static func adopted(_ run: RunID, _ answer: StoreAnswer, _ facts: Facts) -> Move {
    guard case .adopted(let meta) = answer else { return .refuse(.storeAway) }
    return readWorkers(run, meta, facts)
  }

  private static func readWorkers(_ run: RunID, _ meta: RunMeta, _ facts: Facts) -> Move {
    meta.principal == facts.request.principal ? .end(.follow(run, meta, request: nil)) : .refuse(.unknownRun)
  }
}
