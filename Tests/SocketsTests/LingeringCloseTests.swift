import Bytes
import Loop
import Sockets
import Testing
import Time

@Suite struct LingeringCloseTests {
  let test: TestLoop
  let tail = [UInt8](repeating: 9, count: 3_000_000)

  init() throws { test = try TestLoop() }

  @Test func `unread input does not turn the end into a reset`() throws {
    let pair = try Pair(test, serverReads: false)
    pair.client.keepsBytes = false
    // What the server never looked at.
    pair.client.connection.write([UInt8](repeating: 1, count: 100_000).span)
    test.run(for: .milliseconds(30))
    pair.client.onEnd = { client, _ in client.connection.close() }
    var result: CloseResult?
    pair.server.connection.write(tail.span)
    LingeringClose.begin(pair.server.connection) { result = $0 }
    #expect(result == nil)
    test.run(until: { result != nil })
    #expect(result == .confirmed)
    #expect(pair.client.ends == [.finished])
    #expect(pair.client.receivedCount == tail.count)
    #expect(pair.server.connection.isClosed)
    #expect(test.loop.deadlines.count == 0)
  }

  @Test func `closing at once would have been a reset`() throws {
    let pair = try Pair(test, serverReads: false)
    pair.client.connection.write(text: "unread")
    test.run(for: .milliseconds(30))
    pair.server.connection.write(text: "tail")
    pair.server.connection.close()
    test.run(until: { !pair.client.ends.isEmpty })
    #expect(pair.client.ends == [.failed(.reset)])
  }

  @Test func `a peer that keeps its side open is acked at the time limit`() throws {
    let pair = try Pair(test)
    var result: CloseResult?
    pair.server.connection.write(text: "tail")
    LingeringClose.begin(pair.server.connection, timeout: .milliseconds(200)) { result = $0 }
    let start = test.loop.readClock()
    test.run(until: { result != nil })
    #expect(result == .acked)
    #expect(test.loop.readClock() - start >= .milliseconds(190))
    #expect(pair.client.text == "tail")
  }

  @Test func `a peer that stops reading is a timeout`() throws {
    let pair = try Pair(test, clientReads: false)
    var result: CloseResult?
    pair.server.connection.write([UInt8](repeating: 1, count: 20_000_000).span)
    LingeringClose.begin(pair.server.connection, timeout: .milliseconds(200)) { result = $0 }
    test.run(until: { result != nil })
    #expect(result == .lingerTimeout)
  }

  @Test func `a peer that goes on taking has its time again`() throws {
    let pair = try Pair(test, clientReads: false)
    pair.client.keepsBytes = false
    var result: CloseResult?
    pair.server.connection.write([UInt8](repeating: 1, count: 20_000_000).span)
    LingeringClose.begin(pair.server.connection, timeout: .milliseconds(300)) { result = $0 }
    let start = test.loop.readClock()
    // A piece in each fifth of the limit, over three limits, then the rest.
    while test.loop.readClock() - start < .milliseconds(900) {
      pair.client.connection.startReading()
      for _ in 0..<4 { pair.client.connection.readNow() }
      pair.client.connection.pauseReading()
      test.run(for: .milliseconds(60))
    }
    #expect(result == nil)
    pair.client.onEnd = { client, _ in client.connection.close() }
    pair.client.connection.startReading()
    test.run(until: { result != nil })
    #expect(result == .confirmed)
    #expect(pair.client.receivedCount == 20_000_000)
  }

  @Test func `a reset meanwhile is told`() throws {
    let pair = try Pair(test)
    var result: CloseResult?
    pair.client.onEnd = { client, _ in client.connection.reset() }
    LingeringClose.begin(pair.server.connection) { result = $0 }
    test.run(until: { result != nil })
    #expect(result == .reset)
  }

  @Test func `a peer that had half-closed before is acked without waiting`() throws {
    let pair = try Pair(test)
    pair.client.connection.finishWriting()
    test.run(until: { pair.server.hasFinished })
    var result: CloseResult?
    pair.client.keepsBytes = false
    pair.server.connection.write(tail.span)
    let start = test.loop.readClock()
    LingeringClose.begin(pair.server.connection) { result = $0 }
    test.run(until: { result != nil })
    #expect(result == .acked)
    #expect(pair.client.receivedCount == tail.count)
    #expect(test.loop.readClock() - start < .seconds(3))
  }

  @Test func `a connection that had failed before ends at once`() throws {
    let pair = try Pair(test)
    pair.client.connection.reset()
    test.run(until: { pair.server.hasFailed })
    var results: [CloseResult] = []
    LingeringClose.begin(pair.server.connection) { results.append($0) }
    test.run(until: { !results.isEmpty })
    #expect(results == [.reset])
  }

  @Test func `a peer that floods is not read for ever`() throws {
    let pair = try Pair(test)
    var result: CloseResult?
    LingeringClose.begin(pair.server.connection, timeout: .milliseconds(300)) { result = $0 }
    pair.client.connection.write([UInt8](repeating: 1, count: 40_000_000).span)
    test.run(until: { result != nil })
    #expect(result == .acked)
    // What it could not send any more is cut off.
    test.run(until: { pair.client.hasFailed })
  }

  @Test func `an end that must look cut is a reset after the last byte`() throws {
    let pair = try Pair(test)
    pair.client.keepsBytes = false
    var result: CloseResult?
    pair.server.connection.write(tail.span)
    LingeringClose.begin(pair.server.connection, resets: true) { result = $0 }
    test.run(until: { pair.client.hasFailed })
    #expect(pair.client.ends == [.failed(.reset)])
    #expect(pair.client.receivedCount == tail.count)
    #expect(result == .acked)
  }
}
