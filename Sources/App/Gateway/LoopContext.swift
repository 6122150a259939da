import Bytes
import Configuration
import HTTP
package import Logging
package import Loop
import Processes
import SSE
import Sockets
import Streams
package import Telemetry
import Tracing
package import Upstreams

/// What everything on one event loop may use: the loop itself, buffers that are shared, the dialer, the loop's counters,
/// its log and its ids. It knows no client, backend, run or flag, so whatever lives on a loop can hold it.
///
/// Confined to its loop's thread.
package final class LoopContext {
  /// The loop's number among those of the process, from 0.
  package let index: Int
  package let loop: EventLoop
  let dialer: Dialer
  /// Makes connections to backends.
  let backends: any BackendDialer
  package let metrics: GatewayMetrics
  package let shard: MetricShard
  package let routes: RouteBooks
  package let log: WorkerLog
  /// The log's lines about attempts that failed.
  let attempts: AttemptLog
  /// Begins the traces of requests.
  var tracer: Tracer
  /// For work that is too long for one turn of the loop.
  let turns: FairTurns
  /// Whether clients are to go elsewhere after the answer that they wait for; the loop still serves all that come.
  private(set) var isLeaving = false
  /// Whether the loop takes no new connections and lets what is running come to its end.
  private(set) var isDraining = false
  /// Whether everything on the loop is being ended at once.
  private(set) var isStopping = false

  // Shared by all connections of the loop; what is in them counts only until their writer returns.
  var draft = ResponseDraft()
  var clientHead = ByteBuffer()
  var upstreamHead = ByteBuffer()

  private var randomPool: [UInt64] = []

  /// - Parameter backends: makes connections to backends; `nil` for the loop's own dialer.
  package init(
    index: Int, loop: EventLoop, metrics: GatewayMetrics, log: WorkerLog, backends: (any BackendDialer)? = nil
  ) {
    self.index = index
    self.loop = loop
    self.metrics = metrics
    self.log = log
    attempts = AttemptLog(loop: loop, log: log)
    tracer = Tracer(TracingSettings(), sink: nil, loop: loop)
    let dialer = Dialer(loop: loop)
    self.dialer = dialer
    self.backends = backends ?? dialer
    shard = MetricShard(metrics.registry)
    routes = RouteBooks(metrics.routes, shard: shard)
    turns = FairTurns(loop: loop)
  }

  func leaveBegan() { isLeaving = true }
  func drainBegan() { (isLeaving, isDraining) = (true, true) }
  func stopBegan() { isStopping = true }

  /// 128 unguessable bits. Drawn in batches: asking the kernel is a system call.
  func nextStreamID() -> StreamID {
    if randomPool.count < 2 { randomPool = Host.randomWords(128) }
    return StreamID(random: (randomPool.removeLast(), randomPool.removeLast()))
  }

  /// A client was refused before its request was known.
  ///
  /// - Parameters:
  ///   - code: the word for it.
  ///   - client: who asked, as the log may say it.
  ///   - limit: the time limit that had passed, if one had.
  /// - Returns: the field with the refusal's id, which stands in the log too.
  func refused(
    _ refusal: Refusal, _ status: Int, _ code: String, from client: String, limit: TimeLimit? = nil
  ) -> Fields {
    shard.increment(metrics.refusals[refusal])
    routes.answered(status, by: .gateway, on: nil)
    let id = nextStreamID().description
    log.write(status >= 500 ? .warning : .info, .requestDone, at: loop.wallTime()) { line in
      line.field("requestId", word: id)
      if !client.isEmpty { line.field("client", word: client) }
      line.field("status", status)
      line.field("origin", word: ResponseOrigin.gateway.rawValue)
      line.field("code", word: code)
      line.field("closer", word: RequestRecord.Closer.gateway.rawValue)
      if let limit { line.field("limit", word: limit.rawValue) }
    }
    var fields = Fields()
    if let value = FieldValue(id) { fields.append(.xRequestID, value) }
    return fields
  }

  /// Logs that a time limit ended something that no other line reports.
  func limitPassed(_ limit: TimeLimit, route: String?, _ level: LogLevel = .info) {
    routes.passed(limit, on: route)
    log.write(level, .limitPassed, at: loop.wallTime()) { line in
      line.field("limit", limit.rawValue)
      line.field("route", ifPresent: route)
    }
  }
}
