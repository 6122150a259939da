import Bytes
import HTTP
import Loop
import SSE
import Streams
import Time

/// Feeds the copy of a run that lives on another loop: what the owner's log takes in comes here in batches.
final class CopySource: RunSource {
  private let place: RunPlace
  private let peers: LoopPeers<LoopRuns>
  private let context: LoopContext
  private var run: Run?

  init(of place: RunPlace, peers: LoopPeers<LoopRuns>, context: LoopContext) {
    self.place = place
    self.peers = peers
    self.context = context
  }

  var isOwner: Bool { false }
  var attempts: Int { 0 }

  func begin(feeding run: Run) {
    self.run = run
    let (stream, home) = (run.stream, context.index)
    let bound = LoopBound(self, loop: context.loop)
    let asked = peers.ask(place.worker) { [peers] owner in
      if let original = owner[stream], original.isOwner {
        original.addCopy(RunFeeder(of: original, to: bound, on: home, through: peers))
      } else {
        peers.ask(home) { _ in bound.value.failed(.gone) }
      }
    }
    if !asked { peers.ask(home) { _ in bound.value.failed(.gone) } }
  }

  func conclude() -> (events: UInt64, bytes: UInt64) { (0, 0) }

  func stop(_ result: AttemptResult) {
    guard let run else { return }
    self.run = nil
    let (stream, home) = (run.stream, context.index)
    peers.ask(place.worker) { $0[stream]?.removeCopy(on: home) }
  }

  func readerWishes(_ policy: DisconnectPolicy) {
    guard let stream = run?.stream else { return }
    peers.ask(place.worker) { $0[stream]?.take(wish: policy) }
  }

  func cancel() {
    guard let stream = run?.stream else { return }
    peers.ask(place.worker) { $0[stream]?.end(.cancelled, reason: EndReason.readersSideStopped.text) }
  }

  func holdUp() -> Bool {
    tellFeeder { $0.holdUp() }
    return true
  }

  func goOn() { tellFeeder { $0.goOn() } }

  private func tellFeeder(_ tell: @escaping @Sendable (any RunRelay) -> Void) {
    guard let stream = run?.stream else { return }
    let home = context.index
    peers.ask(place.worker) { $0[stream]?.feeder(of: home).map(tell) }
  }

  func timePassed(_ now: MonotonicTime) -> MonotonicTime { now + .seconds(1) }

  // MARK: - What the owner sends

  func opened(_ head: ResponseHead, _ batch: RunBatch) { run?.adopt(head, batch) }

  func received(_ batch: RunBatch) { run?.take(batch) }

  func failed(_ failure: RunFailure) { run?.failed(failure) }
}

/// On the owner's loop: sends what the log holds to a copy on another. Counts as one reader.
final class RunFeeder: RunRelay {
  private unowned let run: Run
  private let copy: LoopBound<CopySource>
  let home: Int
  private let peers: LoopPeers<LoopRuns>
  private var position = LogPosition.beginning
  private var hasOpened = false
  private var isOver = false
  /// The run, while there is more of it to be sent in a turn of its own.
  private var unfinished: Run?
  /// Whether the copy's readers have yet to get what its memory has room for.
  private var isHeldUp = false

  /// Bytes after which other connections of the loop, and the copy's, have their turn.
  private static let batchSize = 256 * 1024

  init(of run: Run, to copy: LoopBound<CopySource>, on home: Int, through peers: LoopPeers<LoopRuns>) {
    self.peers = peers
    self.run = run
    self.copy = copy
    self.home = home
  }

  func runOpened(_ head: ResponseHead) {
    guard !hasOpened else { return }
    hasOpened = true
    position = run.log.start
    let batch = nextBatch()
    peers.ask(home) { [copy] _ in copy.value.opened(head, batch) }
  }

  /// What it sends next; `nil` when it has sent all.
  var place: LogPosition? { isHeldUp || unfinished != nil ? position : nil }

  func holdUp() { isHeldUp = true }

  func goOn() {
    isHeldUp = false
    advance()
    run.trimMemory()
  }

  func advance() {
    guard hasOpened, !isOver, !isHeldUp, unfinished == nil else { return }
    let batch = nextBatch()
    if batch.isEmpty { return }
    peers.ask(home) { [copy] _ in copy.value.received(batch) }
  }

  /// There is no stream and will be none: of what was wrong the copy's readers learn that alone.
  func runFailed(_ failure: RunFailure) {
    isOver = true
    let isGone = if case .gone = failure { true } else { false }
    peers.ask(home) { [copy] _ in copy.value.failed(isGone ? .gone : .noStream) }
  }

  private func nextBatch() -> RunBatch {
    var batch = RunBatch()
    let next = run.log.read(from: position) { block, metadata in
      batch.append(block, metadata)
      return batch.byteCount < Self.batchSize
    }
    position = next ?? run.log.start
    if position < run.log.frontier {
      batch.isPart = true
      unfinished = run
      // No input comes before the next batch: a copy can't tell its readers of events that are evicted in between.
      run.context.loop.callAfterThisCallback(self)
    } else if let end = run.log.end {
      isOver = true
      batch.end = end
    }
    return batch
  }
}

extension RunFeeder: TurnMember {
  func turnCame() {
    guard let run = unfinished.take() else { return }
    withExtendedLifetime(run) {
      advance()
      run.trimMemory()
    }
  }
}
