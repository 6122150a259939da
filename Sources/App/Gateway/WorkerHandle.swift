import Configuration
import Files
import FlagControl
import Flags
import Logging
import Loop
import Processes
import Sockets
import TLS
import Telemetry
package import Time

/// A worker as the main thread sees it: only through its mailbox.
package final class WorkerHandle {
  private let thread: LoopThread
  private let worker: LoopBound<Worker>
  package let index: Int
  /// Of its listeners, in the order of the configuration's places.
  let addresses: [SocketAddress]

  private init(index: Int, thread: LoopThread, worker: LoopBound<Worker>, addresses: [SocketAddress]) {
    self.index = index
    self.thread = thread
    self.worker = worker
    self.addresses = addresses
  }

  /// Starts a worker and waits until it listens.
  static func start(
    index: Int, settings: Settings, flags: FlagSnapshot, metrics: GatewayMetrics, logWriter: LogWriter,
    process: ProcessRuns, peers: LoopPeers<LoopRuns>, limits: ConnectionLimits, tickets: TicketKeys,
    addresses: [SocketAddress],
    sockets: [SocketAddress: UnixSocket]
  ) throws(Gateway.StartError) -> WorkerHandle {
    let started = Rendezvous<Result<(LoopBound<Worker>, [SocketAddress]), Gateway.StartError>>()
    let thread: LoopThread
    do {
      thread = try LoopThread.start(name: "worker-\(index)") { loop in
        let log = WorkerLog(writer: logWriter, level: settings.configuration.log.level)
        let context = LoopContext(index: index, loop: loop, metrics: metrics, log: log)
        let worker = Worker(
          context: context, settings: settings, flags: flags, process: process, peers: peers, limits: limits,
          tickets: tickets, stores: RedisStores(process: process, context: context))
        do throws(ListenFault) {
          let bound = try worker.listen(at: addresses, sockets)
          started.put(.success((LoopBound(worker, loop: loop), bound)))
        } catch {
          started.put(.failure(Gateway.StartError(description: error.description)))
          loop.stop()
        }
      }
    } catch {
      throw Gateway.StartError(description: "no thread for worker \(index): \(error)")
    }
    let (worker, bound) = try started.take().get()
    return WorkerHandle(index: index, thread: thread, worker: worker, addresses: bound)
  }

  /// When its loop was last seen at work; from any thread.
  package var lastSeen: MonotonicTime { thread.heartbeat.last }

  func adopt(_ flags: FlagSnapshot) {
    thread.mailbox.post { [worker] in worker.value.adopt(flags) }
  }

  func adopt(_ settings: Settings) {
    thread.mailbox.post { [worker] in worker.value.adopt(settings) }
  }

  func adopt(_ override: ClosingOverride) {
    thread.mailbox.post { [worker] in worker.value.adopt(override) }
  }

  func leave() {
    thread.mailbox.post { [worker] in worker.value.leave() }
  }

  func drain(_ completion: @escaping @Sendable () -> Void) {
    thread.mailbox.post { [worker] in worker.value.drain(completion) }
  }

  func endStreams(jitter: Nanoseconds, sparesRuns: Bool = false) {
    thread.mailbox.post { [worker] in worker.value.endStreams(jitter: jitter, sparesRuns: sparesRuns) }
  }

  func endRuns() {
    thread.mailbox.post { [worker] in worker.value.endRuns() }
  }

  /// Asks the worker for something and hands it to `body` on the asking loop.
  func ask<Answer: Sendable>(
    from loop: EventLoop, _ question: @escaping @Sendable (Worker) -> Answer,
    then body: LoopBound<(Answer) -> Void>
  ) {
    let home = loop.mailbox
    thread.mailbox.post { [worker] in
      let answer = question(worker.value)
      home.post { body.value(answer) }
    }
  }

  func stop() {
    thread.mailbox.post { [worker] in worker.value.stop() }
    thread.join()
  }
}
