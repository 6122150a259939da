package import Configuration
package import Gateway
import Logging
package import Loop
import Processes
import Sockets
import Telemetry
import Time

/// Where operators look at a gateway and act on it: their listener, its answers, and the dashboard.
///
/// Belongs to the gateway, on whose loop it lives.
package final class ControlRoom: Operators {
  unowned let gateway: Gateway
  private(set) var server: AdminServer?
  package private(set) var address: SocketAddress?
  private var retry: Timer?
  let dashboard: Dashboard
  /// What all routes' streams came to, a second ago at most.
  var dashboardSums: [String: RouteTally] = [:]
  /// The last numbers of each worker.
  var snapshots: [Int: MetricSnapshot] = [:]
  /// What each worker held when it was last asked: connections, and bytes that wait for clients.
  var held: [Int: (connections: Int, queued: Int)] = [:]
  /// What each worker last knew of the routes' backends.
  var standings: [Int: RouteStandings] = [:]
  var selfCheck = SelfCheck(descriptors: 0, memory: 0)

  /// - Parameter page: the dashboard's, at `/dashboard`, which the program brings; `nil`: there is none.
  package init(of gateway: Gateway, page: WebPage? = nil) {
    self.gateway = gateway
    dashboard = Dashboard(loop: gateway.loop, page: page)
  }

  var loop: EventLoop { gateway.loop }

  // MARK: - The gateway's life

  package func open() throws(Gateway.StartError) {
    runDashboard()
    try listen(gateway.settings.configuration.admin)
  }

  package func gatewayStarted() {
    selfCheck = SelfCheck(descriptors: OwnProcess.descriptors ?? 0, memory: OwnProcess.residentBytes ?? 0)
  }

  package func adopt(_ settings: AdminSettings) { server?.settings = settings }

  package func handOver() {
    guard gateway.settings.configuration.isShared else { return }
    // It is told first that this one drains.
    gateway.after(.seconds(1)) { [unowned self] in
      server?.stopListening()
      // Pages find the process that takes over.
      dashboard.end()
    }
  }

  package func close() {
    dashboard.end()
    server?.close()
    retry?.cancel()
  }

  // MARK: - The listener

  /// How often a port is tried again that the process which is to end still has.
  private static let retryInterval = Nanoseconds.milliseconds(200)

  /// Opens the operators' listener. While another process has its port, a gateway that shares waits for it; any other
  /// does not start.
  private func listen(_ admin: AdminSettings) throws(Gateway.StartError) {
    let server = AdminServer(loop: loop, settings: admin) { [unowned self] request, respond in
      answer(request, respond)
    }
    self.server = server
    do throws(SocketError) {
      try server.listen(at: admin.listen)
      address = server.localAddress
    } catch {
      guard error == .addressInUse else {
        throw Gateway.StartError(description: "the admin listener can't start on \(admin.listen): \(error)")
      }
      let holder = Listeners.holder(of: admin.listen)
      guard gateway.settings.configuration.isShared else {
        throw Gateway.StartError(description: "the admin listener can't start: \(admin.listen) is in use\(holder)")
      }
      gateway.log.write(.warning, .adminWaiting, at: loop.wallTime()) { line in
        line.field("admin", admin.listen.description)
        line.field("reason", "in use\(holder)")
      }
      awaitPort(admin)
    }
  }

  private func awaitPort(_ admin: AdminSettings) {
    let timer = Timer(loop: loop) { [unowned self] in
      guard !gateway.isDraining, let server else { return }
      do throws(SocketError) {
        try server.listen(at: admin.listen)
        address = server.localAddress
        gateway.log.write(.info, .adminStarted, at: loop.wallTime()) { $0.field("admin", admin.listen.description) }
      } catch {
        awaitPort(admin)
      }
    }
    timer.schedule(after: Self.retryInterval)
    retry = timer
  }
}
