import Glibc
import Loop
import Sockets
import TLS
import Testing
import Time

/// Handshakes are tried with clients that speak plain HTTP: a step ends each, and the test is told in it.
@Suite struct `What handshakes may cost the streams beside them` {
  @Test func `a turn of the loop takes so many steps, those that wait longest first`() throws {
    let crowd = try Crowd(of: 20)
    #expect(crowd.play(turns: 4) == [0, 8, 16, 20])
    #expect(crowd.budget.underWay == 0)
    #expect(crowd.answered == crowd.answered.sorted())
  }

  @Test func `no step is begun in a turn of the loop that has spent its time on them`() throws {
    let crowd = try Crowd(of: 3)
    crowd.onAnswer = { [clock = crowd.clock] in clock.pass(HandshakeBudget.timePerTurn) }
    #expect(crowd.play(turns: 4) == [0, 1, 2, 3])
  }

  @Test func `what streams have put off to the end of a turn goes first`() throws {
    let crowd = try Crowd(of: 1)
    let stream = Stream()
    var before: Int?
    stream.onTurn = { before = crowd.answered.count }
    // Its watch is begun later, so the handshake hears first that it can go on.
    crowd.play(turns: 1) { crowd.loop.callAfterThisCallback(stream) }
    #expect(before == 0)
    #expect(crowd.answered.count == 1)
  }

  @Test func `one that is given up while it waits for its step is not waited for`() throws {
    let crowd = try Crowd(of: 20)
    let answered = crowd.play(turns: 3) {
      if crowd.answered.count == 8 { for handshake in crowd.handshakes { handshake.cancel() } }
    }
    #expect(answered == [0, 8, 8])
    #expect(crowd.budget.underWay == 0)
  }

  @Test func `more handshakes at a time than steps in a turn all come to their end`() throws {
    let test = try TestLoop()
    let budget = HandshakeBudget(loop: test.loop)
    let terms = TLSAcceptTerms(budget: budget, tickets: TicketKeys()) { $0.close() }
    let (server, client) = (try serverContext(), try clientContext())
    var accepted: [TLSConnection] = []
    var connected: [TLSConnection] = []
    let listener = try Listener(loop: test.loop, address: .loopback(port: 0)) { connection in
      TLSConnection.accept(over: connection, context: server, timeout: .seconds(10), terms: terms) {
        if let connection = try? $0.get() { accepted.append(connection) }
      }
    }
    for _ in 0..<50 {
      Dialer(loop: test.loop).connect(
        host: "127.0.0.1", port: listener.localAddress.port, timeout: .seconds(5), options: SocketOptions()
      ) { outcome in
        guard let connection = try? outcome.get() else { return }
        TLSConnection.connect(over: connection, context: client, serverName: "localhost", timeout: .seconds(10)) {
          if let connection = try? $0.get() { connected.append(connection) }
        }
      }
    }
    test.run(until: { accepted.count == 50 && connected.count == 50 })
    #expect(budget.underWay == 0)
    for connection in accepted + connected { connection.close() }
  }
}

/// Clients that have sent the beginning of a plain request, all before the loop runs.
private final class Crowd {
  let clock = PlayedClock()
  let loop: EventLoop
  let budget: HandshakeBudget
  private(set) var handshakes: [TLSHandshake] = []
  private var sockets: [SocketPair] = []
  /// Who was answered, by their places.
  private(set) var answered: [Int] = []
  var onAnswer: () -> Void = {}

  init(of count: Int) throws {
    loop = try EventLoop(clock: clock)
    budget = HandshakeBudget(loop: loop)
    let context = try serverContext()
    for place in 0..<count {
      let pair = try SocketPair()
      sockets.append(pair)
      let connection = TCPConnection(loop: loop, descriptor: pair.ours, peer: .loopback(port: 0))
      let terms = TLSAcceptTerms(budget: budget, tickets: TicketKeys()) { [unowned self] connection in
        answered.append(place)
        onAnswer()
        connection.close()
      }
      handshakes.append(
        TLSConnection.accept(over: connection, context: context, timeout: .seconds(10), terms: terms) { _ in })
    }
  }

  /// Plays so many turns of the loop.
  /// - Parameter body: called in each, after the handshakes' sockets were found readable.
  /// - Returns: how many were answered at that moment of each turn.
  @discardableResult
  func play(turns: Int, _ body: () -> Void = {}) -> [Int] {
    withoutActuallyEscaping(body) { body in
      var counts: [Int] = []
      guard let sockets = try? SocketPair() else { return counts }
      let stream = Stream()
      let watch = SocketWatch(loop: loop, descriptor: sockets.ours, handler: stream)
      stream.onRead = { [self] in
        counts.append(answered.count)
        body()
        if counts.count == turns { watch.stopReading() }
      }
      _ = watch.startReading()
      loop.turn()
      watch.cancel()
      stream.onRead = {}
      Glibc.close(sockets.ours)
      return counts
    }
  }
}

/// Two ends of a socket; the other one has sent the beginning of a plain request.
private final class SocketPair {
  /// Not closed by this.
  let ours: Int32
  private let other: Int32

  init() throws {
    var ends: [Int32] = [-1, -1]
    let made = socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0, &ends)
    try #require(made == 0)
    ours = ends[0]
    other = ends[1]
    let request = Array("GET / HTTP/1.1\r\n\r\n".utf8)
    try #require(write(other, request, request.count) == request.count)
  }

  deinit { Glibc.close(other) }
}

private final class Stream: SocketWatchHandler, TurnMember {
  var onRead: () -> Void = {}
  var onTurn: () -> Void = {}
  func socketBecameReadable() { onRead() }
  func socketBecameWritable() {}
  func turnCame() { onTurn() }
}
