import Bytes
import FakeRedis
import Loop
import RedisLog
import Runs
import SSE
import Streams
import Time

/// Any lines, as the fields and values that others may have left in a run's keys: its state, its meta, its events, its
/// idempotency key. Well framed, so that what reads them is reached:
/// - nothing traps, and no number overflows;
/// - what is read can be written and read again.
@c(LLVMFuzzerTestOneInput)
func fuzzRunState(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
  let input = Array(UnsafeBufferPointer(start: data, count: size))
  guard input.count <= 8 << 10, let loop = Shared.loop, let run = RunID("r") else { return 0 }
  let lines = input.split(separator: 0x0A, omittingEmptySubsequences: false).map { Array($0) }
  let transport = FakeTransport()
  let redis = RedisConnection(loop: loop, transport: transport)
  let store = RunRecords(redis: redis, settings: RedisSettings())
  redis.start()
  transport.connect(on: loop)
  var text = Framing.bulk([]) + Framing.bulk([]) + Framing.line(":7") + Framing.line("+PONG")
  // What the store asks by itself when the connection is ready.
  text += Framing.bulk(Array("abc 0".utf8))
  transport.connection?.deliver(text)

  store.standing(of: run) { result in
    guard case .success(let standing) = result else { return }
    precondition(standing.status.readers >= 0)
    _ = standing.status.wish.map { DisconnectPolicy(parsing: Array($0.description.utf8).span) }
  }
  store.lookup(run) { result in
    guard case .success(let state) = result else { return }
    if let meta = state.meta { _ = (meta.created.rfc3339, WallTime(milliseconds: 1).milliseconds) }
    if let last = state.last { _ = last.next }
  }
  store.claimIdempotency(Digest([[1]]), run: run, request: Digest([[1]])) { _ in }
  LastTurns(of: loop).run()
  // XLEN, HGETALL; then HGETALL, EXISTS, EXISTS, XREVRANGE; then the script; then the loops that count readers.
  let number = Framing.line(
    ":" + String(decoding: lines[0].filter { $0 >= 0x30 && $0 <= 0x39 }.prefix(19), as: UTF8.self))
  let isNumber = number.count > 3
  let integer = isNumber ? number : Framing.line(":1")
  let entry = Framing.array([Framing.bulk(lines.count > 1 ? lines[1] : []), Framing.list(Array(lines.dropFirst(2)))])
  let answers = [
    integer, Framing.list(lines), Framing.list(lines), integer, integer, Framing.array([entry]), Framing.bulk(lines[0]),
    Framing.list(lines),
  ]
  for answer in answers { transport.connection?.deliver(answer) }
  // The loop, which outlives us, holds it until then.
  store.close()
  redis.close()
  LastTurns(of: loop).run()
  return 0
}

/// Redis's protocol (RESP 2).
enum Framing {
  static func line(_ text: String) -> [UInt8] { Array("\(text)\r\n".utf8) }
  static func bulk(_ bytes: [UInt8]) -> [UInt8] { line("$\(bytes.count)") + bytes + [0x0D, 0x0A] }
  static func array(_ elements: [[UInt8]]) -> [UInt8] { line("*\(elements.count)") + elements.flatMap { $0 } }
  static func list(_ values: [[UInt8]]) -> [UInt8] { array(values.map(bulk)) }
}

enum Shared {
  nonisolated(unsafe) static let loop = try? EventLoop()
}
