import Bytes
import Glibc
import Loop
import Sockets
import Testing
import Time

/// A loop for one test, which fails instead of running for ever.
final class TestLoop {
  let loop: EventLoop
  private var timer: Loop.Timer?
  private var ranOut = false

  init() throws {
    loop = try EventLoop()
  }

  /// Runs until `stop()` or the limit, which is a failure.
  func run(limit: Nanoseconds = .seconds(20), sourceLocation: SourceLocation = #_sourceLocation) {
    ranOut = false
    let timer = Loop.Timer(loop: loop) { [unowned self] in
      ranOut = true
      loop.stop()
    }
    timer.schedule(after: limit)
    loop.run()
    timer.cancel()
    #expect(!ranOut, "the loop did not come to its end in time", sourceLocation: sourceLocation)
  }

  /// Runs until `condition`, asked after each tick and at each `check()`.
  func run(
    until condition: @escaping () -> Bool, limit: Nanoseconds = .seconds(20),
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    if condition() { return }
    let poll = Poll(loop: loop, condition: condition)
    poll.begin()
    run(limit: limit, sourceLocation: sourceLocation)
    poll.end()
  }

  /// Runs for `time`.
  func run(for time: Nanoseconds) {
    let timer = Loop.Timer(loop: loop) { [unowned self] in loop.stop() }
    timer.schedule(after: time)
    run()
  }

  func stop() { loop.stop() }

  private final class Poll {
    let loop: EventLoop
    let condition: () -> Bool
    var timer: Loop.Timer?

    init(loop: EventLoop, condition: @escaping () -> Bool) {
      self.loop = loop
      self.condition = condition
    }

    func begin() {
      timer = Loop.Timer(loop: loop) { [unowned self] in
        if condition() { loop.stop() } else { timer?.schedule(after: .milliseconds(2)) }
      }
      timer?.schedule(after: .milliseconds(1))
    }

    func end() { timer?.cancel() }
  }
}

/// Writes down what happens on a connection.
final class Recorder {
  let connection: TCPConnection
  var received: [UInt8] = []
  var receivedCount = 0
  var keepsBytes = true
  var drained: [Int] = []
  var ends: [ConnectionEnd] = []
  var onReceive: ((Recorder, InputBuffer) -> Void)?
  var onDrained: ((Recorder) -> Void)?
  var onEnd: ((Recorder, ConnectionEnd) -> Void)?

  init(_ connection: TCPConnection, reads: Bool = true) {
    self.connection = connection
    // A connection retains its handler, so that the recorder itself would never go.
    connection.handler = Ear(self)
    if reads { connection.startReading() }
  }

  fileprivate func received(_ input: InputBuffer) {
    receivedCount += input.count
    if keepsBytes { received += [UInt8](copying: input.bytes) }
    onReceive?(self, input)
  }

  fileprivate func becameDrained() {
    drained.append(connection.queuedBytes)
    onDrained?(self)
  }

  fileprivate func ended(_ end: ConnectionEnd) {
    ends.append(end)
    onEnd?(self, end)
  }

  var text: String { String(decoding: received, as: UTF8.self) }
  var hasFinished: Bool { ends.contains(.finished) }
  var hasFailed: Bool { ends.contains { $0 != .finished } }
}

private final class Ear: ConnectionHandler {
  private weak var recorder: Recorder?

  init(_ recorder: Recorder) { self.recorder = recorder }

  func connectionReceived(_ input: InputBuffer) { recorder?.received(input) }
  func connectionDrained() { recorder?.becameDrained() }
  func connectionEnded(_ end: ConnectionEnd) { recorder?.ended(end) }
}

extension TCPConnection {
  func write(text: String) {
    write(Array(text.utf8).span)
  }
}

/// Two connected ends on one loop.
struct Pair {
  let server: Recorder
  let client: Recorder
  let listener: Listener

  init(
    _ test: TestLoop, serverOptions: SocketOptions = SocketOptions(), clientOptions: SocketOptions = SocketOptions(),
    serverReads: Bool = true, clientReads: Bool = true
  ) throws {
    var accepted: TCPConnection?
    var dialled: TCPConnection?
    let listener = try Listener(loop: test.loop, address: .loopback(port: 0), options: serverOptions) { accepted = $0 }
    let dialer = Dialer(loop: test.loop)
    dialer.connect(
      host: "127.0.0.1", port: listener.localAddress.port, timeout: .seconds(5), options: clientOptions
    ) { dialled = try? $0.get() }
    test.run(until: { accepted != nil && dialled != nil })
    self.listener = listener
    server = Recorder(try #require(accepted), reads: serverReads)
    client = Recorder(try #require(dialled), reads: clientReads)
  }
}

/// What this thread has computed so far.
func threadCPUTime() -> Nanoseconds {
  var time = timespec()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return Nanoseconds(Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
}
