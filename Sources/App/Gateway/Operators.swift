package import Configuration
package import Loop

/// Who looks after the gateway, as it knows them: what it tells them at the turns of its life.
///
/// Called on the main thread's loop.
package protocol Operators: AnyObject {
  /// Where they connect; `nil` while another process has the port.
  var address: SocketAddress? { get }
  /// Lets them in. All workers accept connections.
  func open() throws(Gateway.StartError)
  /// The gateway is complete, and nothing is open yet of what comes and goes.
  func gatewayStarted()
  /// Takes a new configuration.
  func adopt(_ settings: AdminSettings)
  /// Leaves the port to the process that takes over, if there is one. The gateway drains.
  func handOver()
  /// Ends everything at once. No worker runs any more.
  func close()
}
