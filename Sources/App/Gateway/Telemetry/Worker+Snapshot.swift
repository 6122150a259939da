import Loop
import Streams
package import Telemetry
import Upstreams

extension Worker {
  /// The counters of this loop with the gauges of this moment.
  package func snapshot() -> MetricSnapshot {
    let (shard, metrics) = (context.shard, context.metrics)
    shard.set(metrics.streamsActive, to: Double(books.openStreams))
    shard.set(metrics.clients, to: Double(clients.openConnections))
    shard.set(metrics.tunnels, to: Double(clients.openTunnels))
    shard.set(metrics.runsActive, to: Double(runs.running))
    runs.countStore()
    survey()
    showBounds()
    for pool in settings.pools { pool.showState() }
    return shard.snapshot()
  }

  /// Looks at every request that is being served: 8,000 open streams take less than a millisecond.
  private func survey() {
    let now = context.loop.now
    context.routes.beginSurvey()
    var held = 0
    clients.forEachExchange { exchange, client in
      if let stream = exchange.stream {
        held += 1
        books.count(stream)
        context.routes.note(openOn: stream.route, backend: exchange.backend, queued: client.queuedBytes, at: now)
      } else if exchange.isWaiting {
        context.routes.note(waiting: exchange.routeName)
      }
    }
    context.routes.show()
    let lost = runs.process.index.streams(on: context.index).count { runs[$0] == nil }
    context.shard.set(context.metrics.unaccounted[.streams], to: Double(abs(books.openStreams - held)))
    context.shard.set(context.metrics.unaccounted[.runs], to: Double(lost))
  }

  private func showBounds() {
    show(.clientConnections, used: clients.connections, limit: clients.room.limit)
    show(.upstreamConnections, used: upstreams.count, limit: upstreams.limit)
    // One loop tells what is shared.
    guard context.index == 0 else { return }
    let process = runs.process
    context.shard.set(context.metrics.runBytes, to: Double(process.budget.used))
    show(.runMemory, used: process.budget.used, limit: process.budget.limit)
    show(.principalMemory, used: process.memories.largest, limit: process.memories.rule.share)
    let stored = process.stored.use(at: context.loop.now)
    show(.storedRuns, used: stored.count, limit: stored.limit)
    show(.principalStoredRuns, used: stored.largest, limit: stored.share)
    show(.unreadRuns, used: process.unread.count, limit: process.unread.limit)
    show(.requestBodies, used: process.bodies.used, limit: process.bodies.limit)
  }

  private func show(_ bound: Bound, used: Int, limit: Int) {
    context.shard.set(context.metrics.boundUse[bound], to: Double(used))
    context.shard.set(context.metrics.boundLimits[bound], to: Double(limit))
  }
}
