import Bytes
import FakeRedis
import Loop
import RedisLog
import Runs
import SSE
import Streams
import Time

/// Any bytes, as a Redis might send them from the greeting on, in answer to everything that is asked of runs, and told on a
/// channel before and after that (behind the first and the second byte 0xFF):
/// - nothing traps, and no number overflows;
/// - each question is answered once, by an answer or by a failure;
/// - what is followed comes in order, each block once, and nothing comes behind the end;
/// - the result does not depend on how the bytes are cut, as far as the blocks go;
/// - the same bytes, as a server of a cluster might send them, answer each question once too.
@c(LLVMFuzzerTestOneInput)
func fuzzRedisAnswers(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  let input = Array(UnsafeBufferPointer(start: data, count: size))
  guard input.count <= 16 << 10, let loop = Shared.loop else { return 0 }
  let whole = Conversation(on: loop).play(input) { _ in max(1, input.count) }
  var pieces = PieceLengths(seed: input)
  let cut = Conversation(on: loop).play(input) { _ in pieces.next() }
  precondition(whole == cut, "the cut changes what is read: \(whole) \(cut)")
  Conversation(on: loop).playCluster(input) { _ in pieces.next() }
  return 0
}

enum Shared {
  nonisolated(unsafe) static let loop = try? EventLoop()
}

/// One connection on which everything is asked, and what came of it.
final class Conversation {
  private let loop: EventLoop
  private let transport = FakeTransport()
  private let channelTransport = FakeTransport()
  private var asked = 0
  private var answered = 0

  init(on loop: EventLoop) { self.loop = loop }

  func play(_ input: [UInt8], pieceLength: (Int) -> Int) -> [String] {
    var settings = RedisSettings()
    settings.pendingLimit = 1 << 16
    let redis = RedisConnection(loop: loop, transport: transport)
    let store = RunRecords(redis: redis, settings: settings)
    let channels = RedisChannels(redis: RedisConnection(loop: loop, transport: channelTransport))
    let follower = RedisFollower(store: store, blocking: redis, channels: channels)
    let recorder = Recorder()
    redis.start()
    transport.connect(on: loop)
    askEverything(of: store)
    if let run = RunID("r") {
      _ = follower.follow(run, source: .gateway, handler: recorder)
      _ = follower.follow(run, source: .worker, handler: Recorder())
    }
    askEverything(of: store)
    let parts = input.split(separator: 0xFF, maxSplits: 2, omittingEmptySubsequences: false)
    channelTransport.connect(on: loop)
    if parts.count > 1 { deliver(parts[1], to: channelTransport, pieceLength) }
    deliver(parts[0], to: transport, pieceLength)
    if parts.count > 2 { deliver(parts[2], to: channelTransport, pieceLength) }
    channels.close()
    follower.close()
    // The loop, which outlives us, holds it until then.
    store.close()
    redis.close()
    LastTurns(of: loop).run()
    precondition(answered == asked, "\(answered) answers to \(asked) questions")
    return recorder.blocks
  }

  /// What it answers may lead to other servers, of which none is there.
  func playCluster(_ input: [UInt8], pieceLength: (Int) -> Int) {
    let first = RedisAddress(host: "a", port: 1)
    var greeting = RedisConnection.Greeting()
    greeting.peer = .node
    let cluster = RedisCluster(
      loop: loop, seeds: [first], greeting: greeting, limits: RedisConnection.Limits()
    ) { [transport] in $0 == first ? transport : FakeTransport() }
    var settings = RedisSettings()
    settings.usesHashTags = true
    let store = RunRecords(redis: cluster, settings: settings)
    cluster.start()
    askEverything(of: store)
    transport.connect(on: loop)
    let half = input.count / 2
    deliver(input[..<half], to: transport, pieceLength)
    askEverything(of: store)
    deliver(input[half...], to: transport, pieceLength)
    store.close()
    cluster.close()
    LastTurns(of: loop).run()
    precondition(answered == asked, "\(answered) answers to \(asked) questions of a cluster")
  }

  private func deliver(_ input: ArraySlice<UInt8>, to transport: FakeTransport, _ pieceLength: (Int) -> Int) {
    var offset = input.startIndex
    while offset < input.endIndex, let connection = transport.connection, !connection.isClosed {
      let end = min(offset + max(1, pieceLength(offset)), input.endIndex)
      connection.deliver(Array(input[offset..<end]))
      offset = end
    }
  }

  private func ask<Value>(_ begin: (@escaping (Result<Value, RedisError>) -> Void) -> Void) {
    asked += 1
    begin { _ in self.answered += 1 }
  }

  private func askEverything(of store: RunRecords) {
    guard let run = RunID("r") else { return }
    let (key, token) = (Digest([[1]]), StreamID(random: (1, 2)))
    let meta = RunMeta(principal: key, stream: token, created: WallTime(milliseconds: 1))
    ask { store.standing(of: run, $0) }
    ask { store.lookup(run, $0) }
    ask { store.claim(run, token: token, meta: meta, $0) }
    ask { store.claimIdempotency(key, run: run, request: key, $0) }
    ask { store.adopt(run, meta: meta, $0) }
    ask { store.find(key, $0) }
    ask { store.closeOrphan(run, of: nil, $0) }
    ask { store.remainingWait($0) }
  }
}

/// Checks what a feed promises.
final class Recorder: RunFeedHandler {
  private(set) var blocks: [String] = []
  private var log = MemoryLog(of: StreamID(random: (1, 2)))
  private var isOver = false
  private var number: UInt64?

  func runReceived(_ block: Span<UInt8>, _ metadata: EntryMetadata) {
    precondition(!isOver, "a block behind the end")
    if let number { precondition(metadata.number == number &+ (metadata.kind.isEvent ? 1 : 0), "a gap") }
    number = metadata.number
    blocks.append("\(metadata.number) \(metadata.kind) \([UInt8](copying: block))")
    _ = log.append(block, metadata)
  }

  func runEnded(_ end: EndRecord) {
    precondition(!isOver, "two ends")
    isOver = true
    _ = log.finish(end)
    blocks.append("\(end)")
  }

  func runVanished() {
    precondition(!isOver, "two ends")
    isOver = true
  }

  func runStoreLost() {}
  func runStoreBack() {}
}

/// Piece lengths from 1 to 16 that follow from the input, so that a crash can be repeated from its bytes alone.
struct PieceLengths {
  private var state: UInt64

  init(seed: [UInt8]) {
    state = seed.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
  }

  mutating func next() -> Int {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int(state >> 60) + 1
  }
}
