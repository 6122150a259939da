import Configuration
import Logging
import Loop
import Runs
import SSE
import Streams
import Telemetry

// What a client is told that gets no run, and what the store keeps for it.
extension RunEntry {
  func refuse(_ reason: RunAdmission.Reason) {
    switch reason {
    case .unknownRun: exchange.refuse(.badRequest, 404, "unknown_run", "there is no such run")
    case .unknownStream:
      // Another run would be told as one by `stream_reset` alone.
      context.shard.increment(context.metrics.resumes[.refused])
      exchange.refuse(.badRequest, 404, "unknown_stream", "there is no such stream")
    case .keyReused:
      exchange.refuse(
        .badRequest, 422, "idempotency_key_reused", "another request was made with this idempotency key")
    case .noRoom:
      exchange.refuse(
        .overload, 503, "overload", "as many runs are kept as there may be, of this client or of all", retryAfter: 1)
    case .noConnections: exchange.refuseForConnections()
    case .storeAway: exchange.storeIsAway()
    }
  }

  func noteLoss(_ loss: RunAdmission.Loss) {
    context.shard.increment(context.metrics.redis.storeLosses)
    context.log.write(.warning, .runStoreLost, at: context.loop.wallTime()) { line in
      line.field("streamId") { loss.stream.write(to: &$0) }
      line.field("route", route.settings.name)
      line.field("reason", loss.fault?.reason ?? store?.fault ?? "")
    }
  }

  // MARK: - What the store keeps

  /// A place for one thing more that the store is to keep for this client; `nil` when there is none left.
  func takePlace(_ store: any RunStore) -> StoredPlace? {
    runs.process.stored.take(for: asked.principal, lifetime: store.timeToLive, on: context.loop)
  }

  /// Whether the store may keep the client's own name for its stream until its time is over.
  func keepsName(_ own: Digest, of run: Run, _ store: any RunStore) -> Bool {
    if run.identity.aliases.contains(own) { return true }
    guard let place = takePlace(store) else { return false }
    place.written()
    return true
  }
}
