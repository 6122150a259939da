import Bytes
import HTTP
import Loop
import SSE
import Streams
import Time

/// Entries of a run on their way to another loop.
struct RunBatch: Sendable {
  private(set) var bytes: [UInt8] = []
  private(set) var entries: [(head: EntryHead, length: Int)] = []
  /// The last entry, if it is among them.
  var end: EndRecord?
  /// Whether there are others already that come next.
  var isPart = false

  var isEmpty: Bool { entries.isEmpty && end == nil }
  var byteCount: Int { bytes.count }

  mutating func append(_ block: Span<UInt8>, _ head: EntryHead) {
    bytes.append(copying: block)
    entries.append((head, block.count))
  }

  /// Lends the entries, until `body` wants no more.
  func read(_ body: (Span<UInt8>, EntryHead) -> Bool) {
    var offset = 0
    for entry in entries {
      if !body(bytes.span.extracting(offset..<offset + entry.length), entry.head) { return }
      offset += entry.length
    }
  }
}

/// Feeds the copy of a run that lives on another loop: what the owner's log takes in comes here in batches.
final class CopySource: RunSource {
  private let place: RunPlace
  private unowned let worker: Worker
  private var run: LoggedRun?

  init(of place: RunPlace, worker: Worker) {
    self.place = place
    self.worker = worker
  }

  var isOwner: Bool { false }
  var attempts: Int { 0 }

  func begin(feeding run: LoggedRun) {
    self.run = run
    let (stream, home) = (run.stream, worker.index)
    let bound = LoopBound(self, loop: worker.loop)
    let asked = worker.hub.ask(place.worker) { owner in
      if let original = owner.runs[stream], original.isOwner {
        original.addCopy(RunFeeder(of: original, to: bound, on: home))
      } else {
        owner.hub.ask(home) { _ in bound.value.failed(.gone) }
      }
    }
    if !asked { worker.hub.ask(home) { _ in bound.value.failed(.gone) } }
  }

  func conclude() -> (events: UInt64, bytes: UInt64) { (0, 0) }

  func stop(_ result: AttemptResult) {
    guard let run else { return }
    self.run = nil
    let (stream, home) = (run.stream, worker.index)
    worker.hub.ask(place.worker) { $0.runs[stream]?.removeCopy(on: home) }
  }

  func readerWishes(_ policy: DisconnectPolicy) {
    guard let stream = run?.stream else { return }
    worker.hub.ask(place.worker) { $0.runs[stream]?.take(wish: policy) }
  }

  func cancel() {
    guard let stream = run?.stream else { return }
    worker.hub.ask(place.worker) { $0.runs[stream]?.end(.cancelled, reason: "a reader's side has stopped it") }
  }

  func holdUp() { tellFeeder { $0.holdUp() } }

  func goOn() { tellFeeder { $0.goOn() } }

  private func tellFeeder(_ tell: @escaping @Sendable (RunFeeder) -> Void) {
    guard let stream = run?.stream else { return }
    let home = worker.index
    worker.hub.ask(place.worker) { $0.runs[stream]?.feeder(of: home).map(tell) }
  }

  func timePassed(_ now: MonotonicTime) -> MonotonicTime { now + .seconds(1) }

  // MARK: - What the owner sends

  func opened(_ head: ResponseHead, _ batch: RunBatch) { run?.adopt(head, batch) }

  func received(_ batch: RunBatch) { run?.take(batch) }

  func failed(_ failure: RunFailure) { run?.failed(failure) }
}

/// On the owner's loop: sends what the log holds to a copy on another. Counts as one reader.
final class RunFeeder {
  private unowned let run: LoggedRun
  private let copy: LoopBound<CopySource>
  let home: Int
  private var position = LogPosition.beginning
  private var hasOpened = false
  private var isOver = false
  /// The run, while there is more of it to be sent in a turn of its own.
  private var unfinished: LoggedRun?
  /// Whether the copy's readers have yet to get what its memory has room for.
  private var isHeldUp = false

  /// Bytes after which other connections of the loop, and the copy's, have their turn.
  private static let batchSize = 256 * 1024

  init(of run: LoggedRun, to copy: LoopBound<CopySource>, on home: Int) {
    self.run = run
    self.copy = copy
    self.home = home
  }

  func runOpened(_ head: ResponseHead) {
    guard !hasOpened else { return }
    hasOpened = true
    position = run.log.start
    let batch = nextBatch()
    run.worker.hub.ask(home) { [copy] _ in copy.value.opened(head, batch) }
  }

  /// What it sends next; `nil` when it has sent all.
  var place: LogPosition? { isHeldUp || unfinished != nil ? position : nil }

  func holdUp() { isHeldUp = true }

  func goOn() {
    isHeldUp = false
    advance()
    run.settleMemory()
  }

  func advance() {
    guard hasOpened, !isOver, !isHeldUp, unfinished == nil else { return }
    let batch = nextBatch()
    if batch.isEmpty { return }
    run.worker.hub.ask(home) { [copy] _ in copy.value.received(batch) }
  }

  /// There is no stream and will be none: of what was wrong the copy's readers learn that alone.
  func runFailed(_ failure: RunFailure) {
    isOver = true
    let isGone = if case .gone = failure { true } else { false }
    run.worker.hub.ask(home) { [copy] _ in copy.value.failed(isGone ? .gone : .noStream) }
  }

  private func nextBatch() -> RunBatch {
    var batch = RunBatch()
    let next = run.log.read(from: position) { block, head in
      batch.append(block, head)
      return batch.byteCount < Self.batchSize
    }
    position = next ?? run.log.start
    if position < run.log.frontier {
      batch.isPart = true
      unfinished = run
      // No input comes before the next batch: a copy can't tell its readers of events that are evicted in between.
      run.worker.loop.callAfterThisCallback(self)
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
      run.settleMemory()
    }
  }
}
