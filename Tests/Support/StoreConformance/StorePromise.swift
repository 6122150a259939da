import Bytes
package import Runs
import SSE
import Streams
import Time

/// What every store of runs must keep (docs/architecture.md, "A store of runs"), each a check that any store can be put
/// through.
package enum StorePromise: String, CaseIterable, Sendable {
  case nothingIsKnownOfNothing, oneOwner, oneRunOfAKey, aLogWithoutGapAndOneEnd, whoComesLateHasAll, ownersAreFollowed
  case theFirstEndCounts, aRunWithoutStreamIsTold, stopsReachWhoWatches, aTakenNameIsTold, readersAreCounted
  case workersRunsAreNamedOnce, whoFollowsOrAsksEndsWhatIsAbandoned
}

/// Two loops' stores over the same data, as two gateways have them, and a way to let time pass.
package final class StoreTrial {
  let first: any RunStore
  let second: any RunStore
  /// Runs the loop until the condition holds.
  private let runUntil: (@escaping () -> Bool) -> Bool
  let abandonFirst: () -> Void
  private(set) var faults: [String] = []
  /// Held until the trial is over.
  private var held: [AnyObject] = []

  /// - Parameters:
  ///   - abandonFirst: has the first store's gateway go without a word.
  ///   - runUntil: returns false when the condition did not hold within a time that is long enough, some leases.
  package init(
    _ first: any RunStore, _ second: any RunStore, abandonFirst: @escaping () -> Void,
    runUntil: @escaping (@escaping () -> Bool) -> Bool
  ) {
    self.abandonFirst = abandonFirst
    self.first = first
    self.second = second
    self.runUntil = runUntil
  }

  /// Puts the stores through one check.
  ///
  /// - Returns: what was found wrong; empty when the promise is kept.
  package func faults(of promise: StorePromise) -> [String] {
    switch promise {
    case .nothingIsKnownOfNothing: knowNothing()
    case .oneOwner: claimAtOnce()
    case .oneRunOfAKey: claimKeys()
    case .aLogWithoutGapAndOneEnd: writeAndFollow(lateBy: 0)
    case .whoComesLateHasAll: writeAndFollow(lateBy: 60)
    case .ownersAreFollowed: giveUp()
    case .theFirstEndCounts: endTwice()
    case .aRunWithoutStreamIsTold: dropRun()
    case .stopsReachWhoWatches: stopRuns()
    case .aTakenNameIsTold: takeNames()
    case .readersAreCounted: countReaders()
    case .workersRunsAreNamedOnce: adoptRun()
    case .whoFollowsOrAsksEndsWhatIsAbandoned: abandonRuns()
    }
    return faults
  }

  // MARK: - What all checks need

  func run(_ name: String) -> RunID { RunID("conformance-\(name)")! }
  func token(_ number: UInt64) -> StreamID { StreamID(random: (number, 4711)) }

  func meta(_ number: UInt64, source: RunWriter = .gateway) -> RunMeta {
    RunMeta(
      principal: Digest([[UInt8(number)]]), stream: token(number), created: WallTime(milliseconds: 1_700_000_000_123),
      contentType: "text/event-stream", source: source, route: "all")
  }

  func expect(_ isSo: Bool, _ what: String) {
    if !isSo { faults.append(what) }
  }

  func wait(for what: String, _ condition: @escaping () -> Bool) {
    if !runUntil(condition) { faults.append("never: \(what)") }
  }

  func keep(_ object: AnyObject) { held.append(object) }

  /// The answer to a question; `nil`, with a fault noted, when there is none or it came inside the call.
  func answer<Value>(
    _ what: String, _ ask: (@escaping (Result<Value, StoreFault>) -> Void) -> Void
  ) -> Value? {
    var answers: [Result<Value, StoreFault>] = []
    ask { answers.append($0) }
    expect(answers.isEmpty, "\(what): answered inside the call")
    wait(for: what) { !answers.isEmpty }
    var turns = 0
    _ = runUntil {
      turns += 1
      return turns > 3
    }
    expect(answers.count <= 1, "\(what): answered \(answers.count) times")
    guard case .success(let value)? = answers.first else {
      expect(false, "\(what): \(answers)")
      return nil
    }
    return value
  }

  /// Claims a run on the first store and holds it.
  func open(_ run: RunID, _ number: UInt64 = 1, lost: @escaping () -> Void = {}) -> (any SharedLog, any RunTenure) {
    let claim = answer("claim") { first.claim(run, token: token(number), meta: meta(number), $0) }
    expect(claim == .mine, "claim of a new run: \(String(describing: claim))")
    let tenure = first.hold(RunTitle(run: run, token: token(number), meta: meta(number)), lost: lost)
    let log = first.makeLog(of: run, memory: MemoryLog(of: token(number)))
    keep(log)
    return (log, tenure)
  }

  func append(_ numbers: ClosedRange<Int>, to log: any SharedLog) {
    for number in numbers {
      _ = log.append(Array("data: \(number)\n\n".utf8).span, EntryMetadata(number: UInt64(number)))
    }
  }

  static func end(_ outcome: Outcome, events: Int) -> EndRecord {
    EndRecord(outcome: outcome, reason: "told", events: UInt64(events), bytes: 0, upstreamIsComplete: true)
  }

  func follow(_ run: RunID, on store: any RunStore, by writer: RunWriter = .gateway) -> StoreFollower {
    let follower = StoreFollower()
    follower.feed = store.follow(run, at: .log(writer), handler: follower)
    keep(follower)
    return follower
  }
}

/// Writes down what a run's follower is told.
final class StoreFollower: RunFeedHandler {
  var feed: (any RunFeed)?
  var numbers: [Int] = []
  var ends: [EndRecord] = []
  var hasNoStream = false
  var other: [String] = []

  func runReceived(_ block: Span<UInt8>, _ metadata: EntryMetadata) {
    let text = String(copying: block)
    numbers.append(Int(text.dropFirst("data: ".count).prefix { $0.isNumber }) ?? -1)
    if !ends.isEmpty { other.append("an event behind the end") }
  }

  func runEnded(_ end: EndRecord) { ends.append(end) }
  func runHasNoStream(_ end: EndRecord) {
    hasNoStream = true
    ends.append(end)
  }
  func runVanished() { other.append("vanished") }
  func runStoreLost() { other.append("lost") }
  func runStoreBack() { other.append("back") }
}
